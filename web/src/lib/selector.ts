// What is selected in a link: `cpu.usage_percent`, `disk.devices.read_iops{device="sda"}`, `memory.*`.

import type { Catalog } from './catalog';
import type { Pick } from './frame';

/** What a selector means. Null for what cannot be read; no ids for metrics that there are not. */
export function parse(text: string, catalog: Catalog): Pick | null {
  const found = /^\s*([^{}\s]+)\s*(?:\{(.*)\})?\s*$/.exec(text);
  if (!found) return null;
  const pattern = found[1] ?? '';
  const labels: Record<string, string> = {};
  let rest = (found[2] ?? '').trim();
  while (rest !== '') {
    const test = /^(\w+)\s*=\s*"((?:[^"\\]|\\.)*)"\s*,?\s*/.exec(rest);
    if (!test) return null;
    labels[test[1] ?? ''] = (test[2] ?? '').replace(/\\(.)/g, '$1');
    rest = rest.slice(test[0].length);
  }
  const parts = pattern.split('*').map((part) => part.replace(/[.*+?^${}()|[\]\\]/g, '\\$&'));
  const glob = new RegExp(`^${parts.join('.*')}$`);
  const metrics = catalog.metrics.filter(({ id, kind, labels: names }) => kind !== 'info' && glob.test(id) && Object.keys(labels).every((name) => names.includes(name)));
  return Object.keys(labels).length > 0 ? { ids: metrics.map(({ id }) => id), labels } : { ids: metrics.map(({ id }) => id) };
}
