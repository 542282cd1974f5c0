/** Debian's promtool has nothing to say against our metrics, and a real Prometheus scrapes a master and its replica. */
import { spawn, spawnSync } from 'node:child_process'
import { mkdirSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { join } from 'node:path'
import t from 'tap'
import { METRICS } from '../../daemon/metrics/metric-table.ts'
import { Cluster } from '../daemon/cluster.ts'
import { writeMany } from '../daemon/raw-client.ts'
import { temporaryDirectory } from '../temp-directory.ts'
import { scrape } from './scrape.ts'

const missing = (program: string): string | false =>
  spawnSync(program, ['--version']).error === undefined ? false : `${program} is not installed (Debian: prometheus)`

t.test('promtool check metrics', { skip: missing('promtool') }, async (t) => {
  const cluster = await Cluster.start(t, { channels: 2, replicas: 1, admin: true })
  await cluster.untilStreaming()
  for (const name of ['m', 'r1']) {
    const { text } = await scrape(cluster.node(name).admin?.port ?? 0)
    const { stdout, stderr } = spawnSync('promtool', ['check', 'metrics'], { input: text, encoding: 'utf8' })
    const said = `${stdout}${stderr}`.split('\n').filter((line) => line !== '')
    t.same(
      said.filter(
        (line) => !/^nodejs_active_\w+_total non-counter metrics should not have "_total" suffix$/.test(line),
      ),
      [],
      `nothing against ${name}, but for what prom-client adds itself`,
    )
  }
  const bad = '# HELP a b\n# TYPE a_total gauge\na_total 1\n'
  t.not(spawnSync('promtool', ['check', 'metrics'], { input: bad }).status, 0, 'it does complain')
})

t.test('a real Prometheus scrapes both', { skip: missing('prometheus') }, async (t) => {
  const cluster = await Cluster.start(t, { replicas: 1, admin: true })
  await cluster.untilStreaming()
  const link = await (await cluster.client()).open(0)
  writeMany(link, 'a', 7)
  await link.untilPropagated(7)
  const targets = ['m', 'r1'].map((name) => `127.0.0.1:${cluster.node(name).admin?.port}`)
  const port = await freePort()
  const directory = temporaryDirectory(t)
  mkdirSync(join(directory, 'data'))
  writeFileSync(
    join(directory, 'prometheus.yml'),
    `global: { scrape_interval: 1s }\nscrape_configs: [{ job_name: travertine, static_configs: [{ targets: ${JSON.stringify(targets)} }] }]\n`,
  )
  const server = spawn(
    'prometheus',
    [
      `--config.file=${directory}/prometheus.yml`,
      `--storage.tsdb.path=${directory}/data`,
      `--web.listen-address=127.0.0.1:${port}`,
    ],
    { stdio: 'ignore' },
  )
  const ended = new Promise((resolve) => server.once('close', resolve))
  t.teardown(async () => {
    server.kill('SIGKILL')
    await ended
  })
  const sums = await untilResult(port, 'sum by (instance) (travertine_channel_sessions_total)', targets.length)
  t.same(new Map([...sums].sort()), new Map(targets.map((target): [string, string] => [target, '7']).sort()))
  t.same([...(await untilResult(port, 'up', targets.length)).values()], ['1', '1'])
  const response = await fetch(`http://127.0.0.1:${port}/api/v1/label/__name__/values`)
  const { data } = (await response.json()) as { data: string[] } // as Prometheus documents it
  for (const [name, { type }] of Object.entries(METRICS))
    t.ok(data.includes(type === 'histogram' ? `${name}_bucket` : name), name)
})

/** instance -> value, as soon as the query has so many results. */
async function untilResult(port: number, query: string, count: number): Promise<ReadonlyMap<string, string>> {
  for (;;) {
    const url = `http://127.0.0.1:${port}/api/v1/query?query=${encodeURIComponent(query)}`
    const answer = await fetch(url).then(
      (response) => (response.ok ? response.json() : undefined),
      () => undefined, // it does not listen yet
    )
    const result = (answer as Answer | undefined)?.data.result ?? [] // as Prometheus documents it
    if (result.length === count) return new Map(result.map(({ metric, value }) => [metric.instance, value[1]]))
    await new Promise((resolve) => setTimeout(resolve, 100))
  }
}

interface Answer {
  readonly data: {
    readonly result: readonly { readonly metric: { readonly instance: string }; readonly value: [number, string] }[]
  }
}

function freePort(): Promise<number> {
  return new Promise((resolve) => {
    const server = createServer().listen(0, '127.0.0.1', () => {
      const address = server.address()
      server.close(() => resolve(typeof address === 'object' && address !== null ? address.port : 0))
    })
  })
}
