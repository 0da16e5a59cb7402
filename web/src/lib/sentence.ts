// A chart in words, for whoever cannot see it.

import { clock, duration, format } from './format';
import { nameOf, type Frame, type Pick } from './frame';
import { statistics } from './stats';

/** Lines that are told; of the rest, how many there are. */
const TOLD = 4;

export function sentence(title: string, frame: Frame, pick: Pick): string {
  const range = `${title}, ${duration(frame.to - frame.from)} to ${clock(frame.to)}`;
  const told = frame.lines.flatMap((line) => {
    const all = statistics(line.values, line.min, line.max);
    if (all.count === 0) return [];
    const at = all.maxAt === null ? '' : ` at ${clock(frame.t[all.maxAt] ?? frame.to)}`;
    const name = frame.lines.length > 1 ? `${nameOf(line, frame.lines, pick)} ` : '';
    return `${name}last ${format(all.last, line.unit)}, from ${format(all.min, line.unit)} to ${format(all.max, line.unit)}${at}`;
  });
  if (told.length === 0) return `${range}: no values.`;
  const more = told.length > TOLD ? `; and ${told.length - TOLD} more` : '';
  return `${range}: ${told.slice(0, TOLD).join('; ')}${more}.`;
}
