// A field of values as colours: pure, so that it can be tested without a canvas.

import type { Frame } from '../lib/frame';
import { gapsBefore } from '../lib/gaps';

export type Rgb = [number, number, number];

/** `#rgb` or `#rrggbb`. */
export function rgb(color: string): Rgb {
  const digits = color.replace('#', '');
  const long = digits.length === 3 ? [...digits].map((digit) => digit + digit).join('') : digits;
  return [0, 2, 4].map((at) => parseInt(long.slice(at, at + 2), 16) || 0) as Rgb;
}

/** The colour of a share from 0 to 1, between stops that are equally far apart. */
export function shade(share: number, stops: readonly Rgb[]): Rgb {
  const place = Math.min(Math.max(share, 0), 1) * (stops.length - 1);
  const low = Math.min(Math.floor(place), stops.length - 2);
  const [a, b] = [stops[low] ?? [0, 0, 0], stops[low + 1] ?? [0, 0, 0]];
  return a.map((channel, at) => Math.round(channel + ((b[at] ?? 0) - channel) * (place - low))) as Rgb;
}

/** For each of so many columns of pixels, the place of the step that it shows; -1 for none. */
export function places(frame: Pick<Frame, 't' | 'from' | 'to' | 'stepMs'>, width: number): Int32Array {
  const found = new Int32Array(width).fill(-1);
  const gaps = gapsBefore(frame.t, frame.stepMs);
  let at = 0;
  for (let x = 0; x < width; x += 1) {
    // A sample stands for the time up to it, a step for the time after it began: both within a step of the pixel, or between
    // two that are further apart without a gap.
    const ms = frame.from + ((x + 0.5) / width) * (frame.to - frame.from);
    while (at + 1 < frame.t.length && (frame.t[at + 1] ?? 0) <= ms) at += 1;
    const t = frame.t[at];
    if (t === undefined || t - ms >= frame.stepMs) continue;
    if (ms - t < frame.stepMs * 2 || gaps[at + 1] === false) found[x] = at;
  }
  return found;
}
