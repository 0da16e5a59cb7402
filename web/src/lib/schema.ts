// The API's types, as docs/openapi.json tells them. Nulls are always sent, so nothing is ever left out.

import type { components } from './openapi';

type Whole<T> = T extends (infer Element)[] ? Whole<Element>[] : T extends object ? { [Key in keyof T]-?: Whole<Exclude<T[Key], undefined>> } : T;
type Schemas = components['schemas'];

export type Metric = Whole<Schemas['Metric']>;
export type Section = Whole<Schemas['Section']>;
export type Part = Whole<Schemas['Part']>;
export type Snapshot = Omit<Whole<Schemas['Snapshot']>, 'status'> & { status: Record<string, Section> };
export type Compared = Whole<Schemas['Compared']>;
export type Comparison = Omit<Whole<Schemas['Comparison']>, 'series'> & { series: Compared[] };
export type SideStatistics = Whole<Schemas['Statistics']>;
export type Session = Whole<Schemas['Session']>;
export type Settings = Whole<Schemas['Settings']>;
export type Setting = Whole<Schemas['Setting']>;
export type Status = Whole<Schemas['Status']>;
export type Token = Whole<Schemas['Token']>;
export type NewToken = Token & { token: string };
export type Scope = Schemas['Scope'];

export type Verdict = Whole<Schemas['Verdict']>;
export type Evidence = Whole<Schemas['Evidence']>;
export type Severity = Schemas['Severity'];

/** Both shapes of a series' points at once: a gauge has averages, a counter its readings. */
export interface AnsweredSeries {
  id: string;
  labels: Record<string, string>;
  unit: string;
  avg?: (number | null)[];
  min?: (number | null)[];
  max?: (number | null)[];
  last?: (number | null)[];
  increase?: (number | null)[];
  count: number[];
}
export type Answer = Omit<Whole<Schemas['History']>, 'series'> & { series: AnsweredSeries[] };
