// What a chart shows as rows: for the table view and for CSV.

import { nameOf, type Frame, type Pick } from './frame';

const quote = (text: string) => {
  // A spreadsheet takes what begins like this for a formula.
  const safe = /^[=+\-@\t\r]/.test(text) ? `'${text}` : text;
  return /[",\n\r]/.test(safe) ? `"${safe.replaceAll('"', '""')}"` : safe;
};

/** As CSV: times in UTC, values in the unit that the heading names. */
export function csv(frame: Frame): string {
  const heads = frame.lines.flatMap((line) => {
    const name = `${line.series.metric.id}${line.series.labels.length ? ` ${line.series.labels.join(' ')}` : ''} (${line.unit})`;
    return line.min ? [name, `${name} min`, `${name} max`] : [name];
  });
  const rows = frame.t.map((t, at) => {
    const cells = frame.lines.flatMap((line) => (line.min ? [line.values[at], line.min[at], line.max?.[at]] : [line.values[at]]));
    return [new Date(t).toISOString(), ...cells.map((value) => (value === null || value === undefined ? '' : String(value)))];
  });
  return [['time', ...heads.map(quote)], ...rows].map((row) => row.join(',') + '\r\n').join('');
}

/** Headings of the table view. */
export function headings(frame: Frame, pick: Pick): string[] {
  return frame.lines.map((line) => nameOf(line, frame.lines, pick));
}

/** A file name of a title: letters, digits and hyphens. */
export function fileName(title: string, ending: string): string {
  return `${title.toLowerCase().replace(/[^a-z0-9]+/g, '-').replace(/^-|-$/g, '') || 'chart'}.${ending}`;
}
