// Dark, light, or as the system has it.

export type Choice = 'auto' | 'dark' | 'light';

const CHOICES: Choice[] = ['auto', 'dark', 'light'];

class Theme {
  choice = $state<Choice>('auto');
  /** Goes up when colours change, for what is drawn on a canvas. */
  version = $state(0);

  constructor() {
    const set = document.documentElement.dataset.theme;
    if (set === 'dark' || set === 'light') this.choice = set;
    matchMedia('(prefers-color-scheme: dark)').addEventListener('change', () => { this.version += 1; });
  }

  next(): void {
    this.choose(CHOICES[(CHOICES.indexOf(this.choice) + 1) % CHOICES.length] ?? 'auto');
  }

  choose(choice: Choice): void {
    this.choice = choice;
    if (choice === 'auto') delete document.documentElement.dataset.theme;
    else document.documentElement.dataset.theme = choice;
    try {
      localStorage.setItem('perfwatch.theme', choice);
    } catch {
      // Without storage the choice lasts as long as the page.
    }
    this.version += 1;
  }
}

export const theme = new Theme();

export interface Colors {
  series: string[];
  text: string;
  muted: string;
  grid: string;
  panel: string;
  hatch: string;
  heat: string[];
}

/** The colours of the style sheet, for what is drawn on a canvas. */
export function colors(): Colors {
  const style = getComputedStyle(document.documentElement);
  const read = (name: string) => style.getPropertyValue(name).trim();
  return {
    series: [1, 2, 3, 4, 5, 6, 7, 8].map((number) => read(`--series-${number}`)),
    text: read('--text'),
    muted: read('--muted'),
    grid: read('--grid'),
    panel: read('--panel'),
    hatch: read('--hatch'),
    heat: [1, 2, 3, 4].map((number) => read(`--heat-${number}`)),
  };
}
