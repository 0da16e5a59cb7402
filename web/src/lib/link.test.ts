import { expect, test } from 'vitest';
import { link, pause, type Facts } from './link';

const facts: Facts = { online: true, open: true, lastFrame: 10_000, lostAt: null, intervalMs: 1000 };

test('the state of the link is what can be seen of it', () => {
  expect(link({ ...facts, lastFrame: null }, 0)).toBe('connecting');
  expect(link(facts, 11_000)).toBe('live');
  expect(link(facts, 14_500)).toBe('stale');
  const lost = { ...facts, open: false, lostAt: 11_000 };
  expect(link(lost, 13_000)).toBe('live');
  expect(link(lost, 13_600)).toBe('reconnecting');
  expect(link({ ...lost, online: false }, 13_600)).toBe('offline');
  expect(link({ ...facts, online: false, open: false, lastFrame: null }, 0)).toBe('offline');
});

test('attempts come slower and never at once', () => {
  expect([0, 1, 2, 20].map((attempt) => pause(attempt, 0.5))).toEqual([250, 500, 1000, 10_000]);
  expect(pause(20, 1)).toBe(12_500);
});
