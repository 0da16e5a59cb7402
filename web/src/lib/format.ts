// Numbers with units, as people read them. Units are the catalog's; a scale is shared by all that stands on one axis.

/** Divides a value and names what it then is. */
export interface Scale {
  divisor: number;
  unit: string;
}

const BINARY = ['B', 'KiB', 'MiB', 'GiB', 'TiB', 'PiB'];
const DECIMAL = ['', 'k', 'M', 'G', 'T'];

/** The catalog's unit of what is so or is not. */
export const FLAG = '0 or 1';

/** Which scale fits a value of this size. */
export function scaleFor(unit: string, largest: number): Scale {
  const size = Math.abs(largest);
  const [base, per] = unit.endsWith('/s') ? [unit.slice(0, -2), '/s'] : [unit, ''];
  switch (base) {
    case 'bytes': {
      const step = power(size, 1024, BINARY.length - 1);
      return { divisor: 1024 ** step, unit: BINARY[step] + per };
    }
    case 'KB': {
      const step = power(size * 1024, 1024, BINARY.length - 1);
      return { divisor: 1024 ** (step - 1), unit: BINARY[step] + per };
    }
    case 'µs':
      if (size >= 1e6) return { divisor: 1e6, unit: 's' + per };
      return size >= 1000 ? { divisor: 1000, unit: 'ms' + per } : { divisor: 1, unit: 'µs' + per };
    case 's': {
      const [divisor, name] = size >= 172_800 ? [86_400, 'd'] : size >= 7_200 ? [3_600, 'h'] : size >= 120 ? [60, 'min'] : [1, 's'];
      return { divisor, unit: name + per };
    }
    case 'ms':
      if (size >= 1000) return { divisor: 1000, unit: 's' + per };
      if (size > 0 && size < 0.1) return { divisor: 0.001, unit: 'µs' + per };
      return { divisor: 1, unit: 'ms' + per };
    case 'MHz':
      return size >= 1000 ? { divisor: 1000, unit: 'GHz' } : { divisor: 1, unit: 'MHz' };
    case '%':
    case '°C':
    case 'GHz':
      return { divisor: 1, unit: base + per };
    default: {
      const step = power(size, 1000, DECIMAL.length - 1);
      const name = base === 'count' ? '' : base;
      const prefix = DECIMAL[step] ?? '';
      return { divisor: 1000 ** step, unit: prefix + (prefix && name ? ' ' : '') + name + per };
    }
  }
}

function power(size: number, base: number, most: number): number {
  let step = 0;
  while (size >= base && step < most) {
    size /= base;
    step += 1;
  }
  return step;
}

/** Three figures: 0.08, 1.25, 12.5, 125. */
export function figures(value: number): string {
  const size = Math.abs(value);
  if (size === 0) return '0';
  if (size < 0.01) return value.toPrecision(1);
  const digits = size >= 99.95 ? 0 : size >= 9.995 ? 1 : 2;
  return value.toFixed(digits);
}

/** A value and its unit apart, to be set in different sizes. */
export function parts(value: number | null | undefined, unit: string, scale?: Scale): { value: string; unit: string } {
  if (value === null || value === undefined || !Number.isFinite(value)) return { value: '–', unit: '' };
  if (unit === FLAG) return { value: value === 0 ? 'no' : value === 1 ? 'yes' : figures(value), unit: '' };
  const used = scale ?? scaleFor(unit, value);
  const scaled = value / used.divisor;
  // A share has a decimal and no more: 12.5 %, 100 %.
  const whole = Number.isInteger(scaled) && used.divisor === 1;
  const text = used.unit === '%' ? trimZero(scaled.toFixed(1)) : whole ? String(scaled) : figures(scaled);
  return { value: text, unit: used.unit };
}

function trimZero(text: string): string {
  return text.endsWith('.0') ? text.slice(0, -2) : text;
}

/** A value with its unit: `12.5 %`, `1.25 MiB/s`. A dash for none. */
export function format(value: number | null | undefined, unit: string, scale?: Scale): string {
  const { value: number, unit: of } = parts(value, unit, scale);
  return of ? `${number}\u00a0${of}` : number;
}

/** Labels for the ticks of an axis, all in one scale and with the same digits; the unit stands at the greatest. */
export function ticks(values: number[], unit: string): string[] {
  if (unit === FLAG) return values.map((value) => (value === 0 || value === 1 ? parts(value, unit).value : ''));
  const largest = Math.max(...values.map(Math.abs), 0);
  const scale = scaleFor(unit, largest);
  const scaled = values.map((value) => value / scale.divisor);
  const steps = scaled.slice(1).map((value, at) => Math.abs(value - (scaled[at] ?? 0)));
  const step = Math.min(...steps.filter((step) => step > 0), Infinity);
  const digits = !Number.isFinite(step) || step >= 1 ? (scaled.some((value) => value % 1 > 1e-9) && step >= 1 ? 1 : 0) : Math.min(6, Math.ceil(-Math.log10(step)) + (fits(step) ? 0 : 1));
  const fixed = scaled.map((value) => (value === 0 ? '0' : value.toFixed(digits)));
  return fixed.map((text, at) => (at === fixed.length - 1 && scale.unit ? `${text} ${scale.unit}` : text));
}

/** Whether a step is written whole with the digits of its power of ten: 0.1 and 0.2 are, 0.25 is not. */
function fits(step: number): boolean {
  const digits = 10 ** Math.ceil(-Math.log10(step));
  return Math.abs(step * digits - Math.round(step * digits)) < 1e-6;
}

/** A length of time: `45 s`, `12 min`, `3 h 20 min`, `2 d 4 h`. */
export function duration(ms: number): string {
  const seconds = Math.round(ms / 1000);
  if (ms < 1000) return `${Math.round(ms)} ms`;
  if (seconds < 120) return `${seconds} s`;
  const minutes = Math.round(seconds / 60);
  if (minutes < 120) return `${minutes} min`;
  const [hours, rest] = [Math.floor(minutes / 60), minutes % 60];
  if (hours < 48) return rest ? `${hours} h ${rest} min` : `${hours} h`;
  const days = Math.floor(hours / 24);
  return hours % 24 ? `${days} d ${hours % 24} h` : `${days} d`;
}

const pad = (number: number) => String(number).padStart(2, '0');

/** `2026-11-26` by the browser's clock. */
export function day(ms: number): string {
  const at = new Date(ms);
  return `${at.getFullYear()}-${pad(at.getMonth() + 1)}-${pad(at.getDate())}`;
}

/** `10:42` or, if asked, `10:42:05`. */
export function clock(ms: number, seconds = false): string {
  const at = new Date(ms);
  return `${pad(at.getHours())}:${pad(at.getMinutes())}${seconds ? ':' + pad(at.getSeconds()) : ''}`;
}

/** A moment, with its day when that is not today. */
export function moment(ms: number, now: number, seconds = false): string {
  return day(ms) === day(now) ? clock(ms, seconds) : `${day(ms)} ${clock(ms, seconds)}`;
}
