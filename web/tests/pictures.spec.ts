// Pictures for the documents: the newest minutes are of this host at work, the days before are generated. Made when asked for: PICTURES=../docs/images npm run e2e -- pictures

import { spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { cpus } from 'node:os';
import { join } from 'node:path';
import { expect, live, Server, test } from './page';
import { week } from './history';

const target = process.env.PICTURES;

test.skip(!target, 'pictures are made when PICTURES says where to');

test('pictures of a busy host in both themes', async ({ page }) => {
  test.setTimeout(900_000);
  const server = new Server({ interval: '1s' });
  server.import(week(Date.now(), { lastHours: 2, step: 5_000 }));
  await server.start();
  // Work in bursts on every CPU and on the disk, as a build would do.
  const burst = 'end=$((SECONDS+150)); while [ $SECONDS -lt $end ]; do dd if=/dev/urandom of="$1" bs=1M count=$((RANDOM%60+4)) conv=fsync status=none; sha256sum "$1" >/dev/null; sleep 0.$((RANDOM%9)); done; rm -f "$1"';
  const load = cpus().map((_, cpu) => spawn('bash', ['-c', burst, 'burst', join(server.data, createHash('md5').update(String(cpu)).digest('hex'))], { stdio: 'ignore' }));
  try {
    await page.waitForTimeout(100_000);
    for (const scheme of ['dark', 'light'] as const) {
      await page.emulateMedia({ colorScheme: scheme });
      for (const [name, address] of [
        ['overview', '/?from=now-90s'],
        ['counters', '/counters?from=now-90s'],
        ['explore', '/explore?select=cpu.usage_percent&select=disk.devices.write_bytes_per_sec&from=now-2h'],
        ['compare', '/compare?from=now-1h&select=cpu.usage_percent&select=disk.devices.write_bytes_per_sec'],
      ] as const) {
        await page.goto(server.url + address);
        await live(page);
        await expect(page.locator('canvas').first()).toBeVisible();
        await page.waitForTimeout(3_500);
        await page.screenshot({ path: join(target ?? '', `${name}-${scheme}.png`) });
      }
    }
  } finally {
    for (const child of load) child.kill();
    await server.end();
  }
});
