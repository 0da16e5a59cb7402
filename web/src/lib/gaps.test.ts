import { expect, test } from 'vitest';
import { gapsBefore, joined } from './gaps';

const places = (t: number[], least = 1) => gapsBefore(t, least).flatMap((gap, at) => (gap ? [at] : []));

test('a distance is a gap where it is long beside those around it', () => {
  expect(places([0, 1, 2, 3, 9, 10, 11])).toEqual([4]);
  expect(places([0, 1, 2, 4, 6, 7])).toEqual([]);
});

test('another interval is no gap, and a gap beside it is one', () => {
  expect(places([0, 5, 10, 15, 20, 21, 22, 23])).toEqual([]);
  expect(places([0, 1, 2, 3, 8, 13, 18])).toEqual([]);
  expect(places([0, 5, 10, 15, 50, 51, 52, 53])).toEqual([4]);
});

test('a lone sample between two gaps makes neither of them usual', () => {
  expect(places([0, 1, 2, 3, 60, 120, 121, 122, 123])).toEqual([4, 5]);
});

test('a line goes on over moments without a value, but not over a gap', () => {
  expect(joined([0, 1, 2, 3, 4, 5, 6], [1, null, 1, null, 1, null, 1], 1)).toEqual([1, undefined, 1, undefined, 1, undefined, 1]);
  expect(joined([0, 1, 2, 3, 4, 5, 6, 7, 8], [1, 1, 1, null, null, null, 1, 1, null], 1)).toEqual([1, 1, 1, null, null, null, 1, 1, null]);
  const every = Array.from({ length: 21 }, (_, at) => (at % 5 === 0 ? at : null));
  expect(joined(every.map((_, at) => at), every, 1).filter((value) => value === null)).toEqual([]);
});
