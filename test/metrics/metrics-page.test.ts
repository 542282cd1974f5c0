/** docs/METRICS.md is made from the table; `node dist/test/metrics/metrics-page.test.js --rewrite` makes it anew. */
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { METRICS, type MetricFacts } from '../../daemon/metrics/metric-table.ts'
import { STAGE_BOUNDS_SECONDS } from '../../daemon/metrics/stat-slots.ts'
import { PROJECT } from '../project.ts'

const PAGE = join(PROJECT, 'docs/METRICS.md')
const FACTS: readonly (readonly [string, MetricFacts])[] = Object.entries(METRICS)

const INTRODUCTION = `# Metrics

A node answers \`GET /metrics\` on its admin port in the text form of Prometheus. The table is made from the one in
daemon/metrics/metric-table.ts; a test compares. Numbers are counted in shared memory by each channel thread, once per
flush, and read only when somebody scrapes.

    scrape_configs:
      - job_name: travertine
        static_configs:
          - targets: ['127.0.0.1:7480', '127.0.0.1:7580']

prom-client adds metrics of the process: CPU, memory, garbage collection, file descriptors (\`process_\` and \`nodejs_\`).

## Stages of a commit

| stage | from | to |
|---|---|---|
| \`queue\` | the first session of a batch has arrived | its flush begins |
| \`write\` | the batch is handed to the file system | it has taken it |
| \`fdatasync\` | the flush of the file begins | it is durable here |
| \`network\` | the batch is handed to a replica's socket | its answer is here, less what the replica's disk took |
| \`replica_fdatasync\` | the replica begins to write the batch | it is durable there, as the replica says |

\`network\` and \`replica_fdatasync\` run beside \`write\` and \`fdatasync\`: a session is STORED after queue + write +
fdatasync, and PROPAGATED after queue + the longer one of the two sides. Each observation is one batch of one channel,
whatever the number of sessions in it; with several replicas the last two have one per replica. On a replica that feeds others
these two tell of them, from its own fdatasync on.
`

function page(): string {
  const rows = FACTS.map(([name, { type, unit, labels, help }]) => {
    return `| \`${name}\` | ${type} | ${unit} | ${labels.join(', ')} | ${help} |`
  })
  const bounds = STAGE_BOUNDS_SECONDS.map((seconds) => `${seconds * 1e6}`).join(', ')
  return [
    INTRODUCTION,
    `Bounds of the histogram, in microseconds: ${bounds}.`,
    '',
    '## All metrics',
    '',
    '| name | type | unit | labels | meaning |',
    '|---|---|---|---|---|',
    ...rows,
    '',
  ].join('\n')
}

t.test('docs/METRICS.md says what the table says', async (t) => {
  if (process.argv.includes('--rewrite')) writeFileSync(PAGE, page())
  t.equal(readFileSync(PAGE, 'utf8'), page())
})

t.test('names and sentences follow the rules', async (t) => {
  for (const [name, { type, unit, help, labels }] of FACTS) {
    t.match(name, /^travertine_[a-z0-9_]+$/)
    t.equal(name.endsWith('_total'), type === 'counter', `${name}: _total and only on counters`)
    if (unit === 'seconds' || unit === 'bytes')
      t.match(name, new RegExp(`_${unit}(_total)?$`), `${name} ends in its unit`)
    t.match(help, /^[A-Z].{10,}[^.]$/, name)
    t.notMatch(help, /\|/)
    for (const label of labels) t.match(label, /^[a-z]+$/)
  }
})
