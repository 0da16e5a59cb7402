import { expect, test } from 'vitest';
import { eventsIn, holes, reasonAt } from './events';

const answer = [
  { t: 5000, kind: 'gap', detail: { from: 1000, to: 5000, reason: 'PerfWatch did not run' } },
  { t: 5000, kind: 'start', detail: { version: '1.0', interval_ms: 1000 } },
  { t: 6000, kind: 'clock_step', detail: { by_ms: 1500 } },
  { t: 7000, kind: 'brand_new', detail: 'x' },
  { kind: 'without time' },
];

test('events are told in words, whatever they are', () => {
  expect(eventsIn(answer).map((event) => [event.from, event.words, event.bad])).toEqual([
    [1000, 'nothing recorded for 4 s: PerfWatch did not run', true],
    [5000, 'PerfWatch 1.0 started, every 1 s', false],
    [6000, 'the clock was set by +1.500 s', true],
    [7000, 'brand new', false],
  ]);
  expect(eventsIn({})).toEqual([]);
});

test('what happens to the host is told as well', () => {
  const told = (kind: string, detail: object) => eventsIn([{ t: 0, kind, detail }]).map(({ words, bad }) => [words, bad])[0];
  expect(told('boot', { boot_id: 'x', at: 0 })).toEqual(['the host was booted', false]);
  expect(told('oom_kill', { count: 1 })).toEqual(['out of memory: a process was killed', true]);
  expect(told('oom_kill', { count: 3 })).toEqual(['out of memory: 3 processes were killed', true]);
  expect(told('link', { interface: 'eth0', up: false })).toEqual(['eth0: link down', true]);
  expect(told('cpu', { cpu: 3, online: true })).toEqual(['CPU 3 went online', false]);
  expect(told('mount', { mountpoint: '/mnt', device: '/dev/sdb1', fstype: 'ext4', mounted: true, read_only: true })).toEqual(['/mnt mounted from /dev/sdb1 (ext4), read-only', false]);
  expect(told('mount', { mountpoint: '/mnt', mounted: false })).toEqual(['/mnt unmounted', false]);
  expect(told('device', { device: 'sdb', present: false })).toEqual(['device sdb vanished', true]);
  expect(told('upgrade', { what: 'kernel', from: '6.1', to: '6.6' })).toEqual(['the kernel changed from 6.1 to 6.6', false]);
});

test('a hole is where no line has a value between two that have', () => {
  const line = (values: (number | null)[]) => ({ values, unit: '', min: null, max: null, grown: null, series: { key: '', labels: [], metric: {} as never } });
  const frame = { t: [0, 1000, 2000, 3000, 4000, 5000], stepMs: 1000, resolutionMs: 1000, from: 0, to: 6000, lines: [line([null, 1, null, null, 2, null]), line([null, null, null, null, 2, null])] };
  expect(holes(frame)).toEqual([{ from: 1000, to: 4000 }]);
  expect(reasonAt(eventsIn(answer), { from: 1000, to: 4000 })).toContain('did not run');
  expect(reasonAt([], { from: 1000, to: 4000 })).toContain('no values from');
});
