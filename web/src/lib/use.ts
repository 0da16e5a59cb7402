// A resource by Brendan Gregg's USE method: how busy it is, what waits for it, what goes wrong with it.

import { duration, FLAG, format } from './format';
import { newest, stirred, type Frame, type Line, type Pick } from './frame';

/** Of each aspect what may be shown, the most telling first. */
export interface Use {
  utilisation: Pick[];
  saturation: Pick[];
  errors: Pick[];
}

export type Aspect = keyof Use;

export interface Row {
  aspect: Aspect;
  id: string;
  title: string;
  /** Which of several objects. */
  object: string;
  value: string;
  /** Whether it was anything but 0 in the range. */
  stirred: boolean;
  /** Whether something has gone wrong for certain: an error was counted, or there is a state that is one. */
  wrong: boolean;
}

/** Rows of an aspect. What was not 0 goes before what was. */
const MOST: Record<Aspect, number> = { utilisation: 2, saturation: 2, errors: 1 };

/** Rows in all: where there are more, the second of utilisation gives way. */
const MOST_ROWS = 4;

export function rows(use: Use, frameOf: (pick: Pick) => Frame): Row[] {
  const found = (['utilisation', 'saturation', 'errors'] as const).flatMap((aspect) => {
    const all = use[aspect].flatMap((pick) => row(aspect, pick, frameOf(pick)) ?? []);
    return [...all.filter((one) => one.stirred), ...all.filter((one) => !one.stirred)].slice(0, MOST[aspect]);
  });
  if (found.length > MOST_ROWS && found[1]?.aspect === 'utilisation') found.splice(1, 1);
  return found.slice(0, MOST_ROWS);
}

/** What an object comes to that stands for all: the one that is worst. Null for what the host does not have, and for a state that is not there. */
export function row(aspect: Aspect, pick: Pick, frame: Frame): Row | null {
  const lines = frame.lines.filter((line) => newest(line) !== null);
  const weigh = (line: Line) => line.grown ?? newest(line) ?? 0;
  const [worst] = [...lines].sort((a, b) => weigh(b) - weigh(a));
  if (!worst) return null;
  const { metric, labels } = worst.series;
  const moved = stirred(worst);
  if (metric.unit === FLAG && !moved) return null;
  return {
    aspect,
    id: metric.id,
    title: metric.title,
    object: lines.length > 1 || pick.labels ? labels.join(' ') : '',
    value: worst.grown === null ? format(newest(worst), worst.unit) : worst.grown > 0 ? `${format(worst.grown, metric.unit)} in ${duration(frame.to - frame.from)}` : format(0, metric.unit),
    stirred: moved,
    wrong: aspect === 'errors' && (worst.grown === null ? metric.unit === FLAG : worst.grown > 0),
  };
}
