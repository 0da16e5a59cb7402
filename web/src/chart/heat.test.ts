import { expect, test } from 'vitest';
import { places, rgb, shade } from './heat';

test('colours are read and mixed', () => {
  expect([rgb('#58a6ff'), rgb('#fff'), rgb('')]).toEqual([[88, 166, 255], [255, 255, 255], [0, 0, 0]]);
  const stops = [rgb('#000'), rgb('#646464'), rgb('#fff')];
  expect([0, 0.25, 0.5, 1, 7, -1].map((share) => shade(share, stops)[0])).toEqual([0, 50, 100, 255, 255, 0]);
});

test('a pixel shows the step it lies in, and none in a gap', () => {
  const frame = { t: [0, 10, 20, 70, 80], from: 0, to: 100, stepMs: 10 };
  expect([...places(frame, 10)]).toEqual([0, 1, 2, 2, -1, -1, -1, 3, 4, 4]);
});
