// A chart as a picture of its own: under its heading and the host's name, with its legend.

import type { Colors } from '../state/theme.svelte';

export interface Entry {
  name: string;
  color: string;
}

/** Room for the heading above and the legend below, in the screen's pixels. */
const [ABOVE, BELOW] = [26, 24];

export function picture(drawn: HTMLCanvasElement, heading: string, legend: readonly Entry[], look: Colors): HTMLCanvasElement {
  const scale = devicePixelRatio;
  const copy = document.createElement('canvas');
  [copy.width, copy.height] = [drawn.width, drawn.height + (ABOVE + BELOW) * scale];
  const context = copy.getContext('2d');
  if (!context) return copy;
  context.fillStyle = look.panel;
  context.fillRect(0, 0, copy.width, copy.height);
  context.fillStyle = look.text;
  context.font = `600 ${13 * scale}px system-ui, sans-serif`;
  context.fillText(heading, 10 * scale, 18 * scale);
  context.drawImage(drawn, 0, ABOVE * scale);
  context.font = `${11 * scale}px system-ui, sans-serif`;
  let left = 10 * scale;
  for (const { name, color } of legend) {
    context.fillStyle = color;
    context.fillRect(left, copy.height - 16 * scale, 9 * scale, 9 * scale);
    context.fillStyle = look.muted;
    context.fillText(name, left + 13 * scale, copy.height - 8 * scale);
    left += context.measureText(name).width + 26 * scale;
  }
  return copy;
}
