// Names from a host that means harm are text, wherever they are shown.

import { cpSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, live, Server, test } from './page';

const HOST = '../crates/perfwatch-collect/fixtures/server128/t0';
const INTERFACE = '<svg+onload=1>';
const MOUNT = "/mnt/<img src=x onerror=\"document.title='owned'\">";

let server: Server;
let root: string;
test.beforeAll(async () => {
  root = mkdtempSync(join(tmpdir(), 'perfwatch-host-'));
  cpSync(HOST, root, { recursive: true });
  const proc = join(root, 'proc');
  // The first interface's name, and one mount more.
  for (const file of readdirSync(proc, { recursive: true, encoding: 'utf8' })) {
    const path = join(proc, file);
    if (/(^|\/)net\/dev$/.test(file)) {
      const text = readFileSync(path, 'utf8');
      const numbers = /^\s*\S+:(.*)$/m.exec(text.split('\n').slice(2).join('\n'))?.[1] ?? '';
      writeFileSync(path, `${text.trimEnd()}\n${INTERFACE}:${numbers}\n`);
    }
    if (/(^|\/)mounts$/.test(file)) {
      const escaped = MOUNT.replaceAll(' ', '\\040');
      writeFileSync(path, `${readFileSync(path, 'utf8').trimEnd()}\n/dev/sdz1 ${escaped} ext4 rw 0 0\n`);
    }
  }
  server = new Server({ arguments: ['--path.procfs', proc, '--path.sysfs', join(root, 'sys')] });
  await server.start();
});
test.afterAll(async () => {
  await server.end();
  rmSync(root, { recursive: true, force: true });
});

test('names from the host are text', async ({ page }) => {
  await page.goto(`${server.url}/network`);
  await live(page);
  await page.getByRole('searchbox').fill('onload');
  await expect(page.getByRole('heading', { name: INTERFACE })).toBeVisible();
  await page.goto(`${server.url}/explore?select=${encodeURIComponent('network.interfaces.bytes_recv{interface="<svg+onload=1>"}')}`);
  await live(page);
  await expect(page.locator('.chip code')).toHaveText(`network.interfaces.bytes_recv{interface="${INTERFACE}"}`);
  await page.goto(`${server.url}/status`);
  await expect(page.getByText('onerror').first()).toBeVisible();
  await expect(page.locator('main img, main svg:not([aria-hidden])')).toHaveCount(0);
  expect(await page.title()).not.toContain('owned');
});

test('a link with anything in it harms nobody', async ({ page }) => {
  const evil = encodeURIComponent('"><img src=x onerror=alert(1)>');
  for (const path of [`/explore?select=${evil}&from=${evil}`, `/compare?vs=${evil}&to=${evil}`, `/${evil}`, `/cpu?from=now&to=now-1h`]) {
    await page.goto(server.url + path);
    await expect(page.locator('main')).toBeVisible();
    await expect(page.locator('main img')).toHaveCount(0);
  }
});

test('128 cores are a field of colours, with lines for the greatest', async ({ page }) => {
  await page.goto(`${server.url}/explore?select=cpu.frequency_mhz`);
  await live(page);
  await expect(page.locator('figure[data-pick="cpu.frequency_mhz"]').first()).toContainText('128 rows');
  await expect(page.getByRole('heading', { name: 'CPU frequency: the greatest 5', exact: true })).toBeVisible();
  // A row that is chosen is a line as well; the field is there as a table and as a picture like every other chart.
  const field = page.getByRole('application', { name: /Enter chooses a row/ });
  await field.focus();
  for (const key of ['ArrowDown', 'ArrowDown', 'ArrowDown', 'Enter']) await page.keyboard.press(key);
  await expect(page.getByRole('heading', { name: 'CPU frequency: the greatest 5 and 1 chosen' })).toBeVisible();
  await expect(page.getByRole('button', { name: /^core 3 / })).toBeVisible();
  const download = page.waitForEvent('download');
  await page.getByRole('button', { name: 'CPU frequency as a picture', exact: true }).click();
  expect((await download).suggestedFilename()).toBe('cpu-frequency.png');
  await page.getByRole('button', { name: 'CPU frequency as a table', exact: true }).click();
  await expect(page.getByRole('region', { name: 'CPU frequency, newest first' }).getByRole('columnheader', { name: 'core 127' })).toBeAttached();
});
