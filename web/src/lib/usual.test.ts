import { expect, test } from 'vitest';
import { statistics } from './stats';
import { sameHours, standing, usual } from './usual';

test('the same hour of the last seven days is looked at', () => {
  const hours = sameHours(new Date(2026, 10, 26, 10, 42).getTime());
  expect(hours).toHaveLength(7);
  expect(hours[0]).toEqual({ from: new Date(2026, 10, 25, 10).getTime(), to: new Date(2026, 10, 25, 11).getTime() });
  expect(new Date(hours[6]?.from ?? 0).getDate()).toBe(19);
});

test('the usual lies between the tenth and the ninetieth percentile of enough minutes', () => {
  const day = Array.from({ length: 60 }, (_, minute) => minute + 1);
  expect(usual([day, [1, 2, null], []])).toEqual({ low: 6, high: 54, days: 1 });
  expect(usual([[1, 2], []])).toBe(null);
});

test('an excursion is told since when, short pauses included', () => {
  const band = { low: 10, high: 20, days: 7 };
  const t = [0, 1, 2, 3, 4, 5, 6, 7];
  expect(standing(t, [15, 15, 30, 15, 40, 40, null, 50], band)).toEqual({ side: 'above', since: 2 });
  expect(standing(t, [30, 15, 15, 15, 15, 15, 40, 50], band)).toEqual({ side: 'above', since: 6 });
  expect(standing(t, [15, 15, 15, 15, 15, 15, 15, 1], band)).toEqual({ side: 'below', since: 7 });
  expect(standing(t, [15, 15, 15, 15, 15, 15, 15, 21], band)).toEqual({ side: 'within', since: null });
  expect(standing([], [], band)).toEqual({ side: 'within', since: null });
});

test('statistics are of what is there, extremes of the samples behind it', () => {
  expect(statistics([1, null, 3, 2], [0, null, 3, 1], [1, null, 9, 2])).toEqual({
    last: 2, mean: 2, median: 2, p95: 3, min: 0, max: 9, maxAt: 2, count: 3,
  });
  expect(statistics([null]).mean).toBe(null);
});
