import { expect, test } from 'vitest';
import { instant, isLive, panned, range, understand, write, zoomed, type Edge } from './when';

const local = (...parts: [number, number, number, number?, number?, number?]) => new Date(parts[0], parts[1] - 1, ...(parts.slice(2) as [number])).getTime();
// A Thursday.
const now = local(2026, 11, 26, 10, 30, 15);

test('a point in time is understood as the server does', () => {
  for (const [text, edge, at] of [
    ['now', 'to', now],
    ['now-6h', 'from', now - 6 * 3_600_000],
    ['-90s', 'from', now - 90_000],
    ['now-1d-2h', 'from', local(2026, 11, 25, 8, 30, 15)],
    ['now/d', 'from', local(2026, 11, 26)],
    ['now/d', 'to', local(2026, 11, 27)],
    ['now-1d/d', 'to', local(2026, 11, 26)],
    ['now/w', 'from', local(2026, 11, 23)],
    ['now/M', 'from', local(2026, 11, 1)],
    ['now/y', 'from', local(2026, 1, 1)],
    ['today', 'from', local(2026, 11, 26)],
    ['yesterday', 'to', local(2026, 11, 26)],
    ['yesterday 03:12', 'from', local(2026, 11, 25, 3, 12)],
    ['03:12', 'from', local(2026, 11, 26, 3, 12)],
    ['23:00', 'from', local(2026, 11, 25, 23, 0)],
    ['2026-11-23', 'to', local(2026, 11, 24)],
    ['2026-11-23 03:12:05', 'from', local(2026, 11, 23, 3, 12, 5)],
    ['2026-11-23T03:12Z', 'from', Date.UTC(2026, 10, 23, 3, 12)],
    ['1795399920000', 'from', 1795399920000],
  ] as [string, Edge, number][]) expect([text, instant(text, edge, now)]).toEqual([text, at]);
});

test('what is no point in time is none', () => {
  for (const text of ['', 'soon', 'now-', 'now-6', 'now/q', '25:00', '2026-13-01', '2026-02-30', '2026-11-23 26:00', '12', '<img>']) {
    expect([text, instant(text, 'from', now)]).toEqual([text, null]);
  }
});

test('a range says what is wrong with it', () => {
  expect(range({ from: 'now-1h', to: 'now' }, now)).toEqual({ from: now - 3_600_000, to: now });
  expect(range({ from: 'soon', to: 'now' }, now)).toContain('soon');
  expect(range({ from: 'now', to: 'now-1h' }, now)).toContain('nothing lies between');
  expect(range({ from: '23:00', to: '01:00' }, now)).toEqual({ from: local(2026, 11, 25, 23), to: local(2026, 11, 26, 1) });
});

test('one field is enough', () => {
  expect(understand('6h')).toEqual({ from: 'now-6h', to: 'now' });
  expect(understand('now-2d')).toEqual({ from: 'now-2d', to: 'now' });
  expect(understand('now-1d/d')).toEqual({ from: 'now-1d/d', to: 'now-1d/d' });
  expect(understand('yesterday')).toEqual({ from: 'yesterday', to: 'yesterday' });
  expect(understand('03:00 to 04:00')).toEqual({ from: '03:00', to: '04:00' });
  expect(understand('2026-11-20 .. 2026-11-22')).toEqual({ from: '2026-11-20', to: '2026-11-22' });
  expect(understand('  ')).toBe(null);
});

test('zooming and panning stop at now', () => {
  const hour = { from: now - 7_200_000, to: now - 3_600_000 };
  expect(zoomed(hour, 0.5, now)).toEqual({ from: now - 6_300_000, to: now - 4_500_000 });
  expect(zoomed(hour, 10, now).to).toBe(now);
  expect(zoomed({ from: 0, to: 100 }, 0.1, now)).toEqual({ from: -4950, to: 5050 });
  expect(panned(hour, 0.5, now)).toEqual({ from: now - 5_400_000, to: now - 1_800_000 });
  expect(panned(hour, 2, now)).toEqual({ from: now - 3_600_000, to: now });
  expect(write({ from: 1.4, to: 2 })).toEqual({ from: '1', to: '2' });
  expect([isLive({ from: 'x', to: 'now' }), isLive({ from: 'x', to: 'now-1h' })]).toEqual([true, false]);
});
