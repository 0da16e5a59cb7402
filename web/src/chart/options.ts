// What uPlot is to draw, from a frame: pure, so that it can be tested without a browser.

import type uPlot from 'uplot';
import { clock, day, ticks } from '../lib/format';
import { stacked, type Frame, type Line, type Values } from '../lib/frame';
import { joined } from '../lib/gaps';
import type { Range } from '../lib/when';

export interface Look {
  series: readonly string[];
  muted: string;
  grid: string;
  hatch: string;
  panel: string;
}

export interface Plan {
  lines: readonly Line[];
  stack: boolean;
  /** Lines that are not drawn, by their place. */
  hidden?: ReadonlySet<number>;
  /** Dashed lines, by their place: what is compared with. */
  dashed?: ReadonlySet<number>;
  unit: string;
  /** Whether the values are differences: their axis is as long as they are, both ways. */
  difference?: boolean;
}

const FONT = '11px system-ui, sans-serif';

/** Share of a colour that a band from least to greatest has, and a stacked area. */
const BAND = '38';
const AREA = 'b8';

/** Columns for uPlot: the time, then each line with its greatest and least if it has them. */
export function columns(frame: Pick<Frame, 't' | 'stepMs'>, plan: Plan): uPlot.AlignedData {
  const values: Values[] = plan.stack ? stacked(plan.lines) : plan.lines.flatMap((line) => (line.min && line.max ? [line.values, line.max, line.min] : [line.values]));
  return [frame.t, ...values.map((one) => joined(frame.t, one, frame.stepMs))];
}

/** What must be equal for a chart to be drawn on with new data. */
export function shape(plan: Plan): string {
  return JSON.stringify([plan.stack, plan.unit, plan.lines.map((line) => [line.series.key, line.min !== null]), [...(plan.hidden ?? [])], [...(plan.dashed ?? [])]]);
}

export function options(plan: Plan, look: Look, size: { width: number; height: number }, shown: () => Range, hooks: uPlot.Hooks.Arrays): uPlot.Options {
  const color = (place: number) => look.series[place % look.series.length] ?? look.muted;
  const series: uPlot.Series[] = [{}];
  const bands: uPlot.Band[] = [];
  plan.lines.forEach((line, place) => {
    const stroke = color(place);
    const show = !plan.hidden?.has(place);
    const dash = plan.dashed?.has(place) ? { dash: [5, 4] } : {};
    const points = { show: (_: uPlot, __: number, first: number, last: number) => last - first < 2 };
    if (plan.stack) {
      if (place > 0) bands.push({ series: [place + 1, place] });
      // No stroke: a layer without height would draw over those below.
      series.push({ stroke: 'transparent', width: 0, fill: stroke + AREA, show, points: { show: false } });
      return;
    }
    series.push({ stroke, width: 1.5, show, points, ...dash });
    if (line.min && line.max) {
      const hidden: uPlot.Series = { stroke: 'transparent', width: 0, show, points: { show: false } };
      bands.push({ series: [series.length, series.length + 1], fill: stroke + BAND });
      series.push(hidden, { ...hidden });
    }
  });
  return {
    ...size,
    ms: 1,
    padding: [8, 22, 0, 0],
    series,
    bands,
    legend: { show: false },
    cursor: { sync: { key: 'time', scales: ['x', null] }, drag: { x: true, y: false, setScale: false }, points: { size: 6 }, y: false },
    scales: {
      x: { time: true, range: () => { const { from, to } = shown(); return [from, to]; } },
      y: { range: (_, low, high) => plan.difference ? both(low, high) : extent(low, high, plan.unit) },
    },
    axes: [
      { stroke: look.muted, font: FONT, size: 22, gap: 4, space: timeSpace, grid: { show: false }, ticks: { stroke: look.grid, size: 4, width: 1 }, values: (_, splits) => times(splits) },
      { stroke: look.muted, font: FONT, size: axisWidth, gap: 6, space: plan.difference ? 14 : 30, ...(unitSteps(plan.unit)), grid: { stroke: look.grid, width: 1 }, ticks: { show: false }, values: (_, splits) => ticks(splits, plan.unit) },
    ],
    hooks,
  };
}

/** Shares go from 0 to 100, all else from 0 to a little more than the greatest. */
export function extent(low: number | null, high: number | null, unit: string): [number, number] {
  if (unit === '%') return [Math.min(0, low ?? 0), Math.max(100, high ?? 0)];
  const most = Math.max(high ?? 0, 0);
  const least = Math.min(low ?? 0, 0);
  return most === 0 && least === 0 ? [0, 1] : [least * 1.08, most * 1.08];
}

/** As far below 0 as above. */
function both(low: number | null, high: number | null): [number, number] {
  const most = Math.max(Math.abs(low ?? 0), Math.abs(high ?? 0)) || 1;
  return [-most * 1.1, most * 1.1];
}

/** Room for a label of time: more where it has seconds. */
function timeSpace(_: uPlot, __: number, from: number, to: number, width: number): number {
  const [short, long] = [44, 64];
  return ((to - from) / width) * long < 60_000 ? long : short;
}

/** As wide as the longest label of the axis. */
function axisWidth(_: uPlot, values: string[] | null): number {
  const longest = Math.max(0, ...(values ?? []).map((text) => text.length));
  return Math.ceil(longest * 6.1) + 12;
}

/** Steps of an axis of bytes: powers of two, so that its labels are whole numbers of KiB and MiB. */
function unitSteps(unit: string): { incrs?: number[] } {
  return /^(bytes|KB)/.test(unit) ? { incrs: Array.from({ length: 52 }, (_, power) => 2 ** power) } : {};
}

const DAY_MS = 86_400_000;

/** Labels for moments: as short as their distance allows, with the day where it begins. */
export function times(splits: readonly number[]): string[] {
  const days = splits.length > 1 && (splits[1] ?? 0) - (splits[0] ?? 0) >= DAY_MS;
  const seconds = splits.some((ms) => ms % 60_000 !== 0);
  return splits.map((ms) => {
    const at = new Date(ms);
    const midnight = at.getHours() === 0 && at.getMinutes() === 0 && at.getSeconds() === 0;
    return days || (midnight && !seconds) ? day(ms).slice(5) : clock(ms, seconds);
  });
}

/** Hatches stretches without values, so that nothing looks like 0 or like a straight line. */
export function hatch(u: uPlot, holes: readonly Range[], color: string): void {
  const { ctx, bbox } = u;
  for (const hole of holes) {
    const left = Math.max(u.valToPos(hole.from, 'x', true), bbox.left);
    const right = Math.min(u.valToPos(hole.to, 'x', true), bbox.left + bbox.width);
    if (right - left < 2) continue;
    ctx.save();
    ctx.beginPath();
    ctx.rect(left, bbox.top, right - left, bbox.height);
    ctx.clip();
    ctx.strokeStyle = color;
    ctx.lineWidth = devicePixelRatio;
    ctx.beginPath();
    const gap = 7 * devicePixelRatio;
    for (let x = left - bbox.height; x < right; x += gap) {
      ctx.moveTo(x, bbox.top + bbox.height);
      ctx.lineTo(x + bbox.height, bbox.top);
    }
    ctx.stroke();
    ctx.restore();
  }
}
