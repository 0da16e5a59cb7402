// What stands out, in sentences, as `/api/v1/verdict` answers, and what proves them.

import type { Catalog } from './catalog';
import { format, scaleFor, parts } from './format';
import type { Evidence, Severity, Verdict } from './schema';
import { parse } from './selector';

export type { Evidence, Severity, Verdict };

/** A severity in a word and a shape: it is not told by its colour alone. */
export const SEVERITIES: Record<Severity, { word: string; mark: string }> = {
  critical: { word: 'Critical', mark: '▲' },
  warning: { word: 'Warning', mark: '◆' },
  notice: { word: 'Notice', mark: '●' },
};

/** What proves a sentence: what the series is called, of what, and all of it with its value and what is usual. */
export function told({ select, value, unit, usual }: Evidence, catalog: Catalog | null): { name: string; object: string; all: string } {
  const pick = catalog ? parse(select, catalog) : null;
  const metric = pick?.ids.length === 1 ? catalog?.get(pick.ids[0] ?? '') : undefined;
  const name = metric?.title ?? select;
  const object = metric ? Object.values(pick?.labels ?? {}).join(' ') : '';
  const scale = usual ? scaleFor(unit, usual.high) : undefined;
  const beside = usual ? `, usual ${parts(usual.low, unit, scale).value}–${format(usual.high, unit, scale)}` : '';
  return { name, object, all: `${name}${object ? ` ${object}` : ''}: ${value === null ? 'no value' : format(value, unit)}${beside}` };
}

/** The stretch of time that shows it, and as much before it, so that it can be seen to begin. */
export function around({ from_ms: from, to_ms: to }: Evidence): { from: string; to: string } {
  return { from: String(from - (to - from)), to: String(to) };
}
