/**
 * Two configs of one number: the one that a change of history has given up, and the one that the next master made in its
 * place. A replica that hears only of the second, since it lagged, must not keep the first.
 */
import t from 'tap'
import type { JobRunner } from '../../daemon/io/job-pool.ts'
import { ManifestKeeper } from '../../daemon/manifest-keeper.ts'
import { configOfScans } from '../../wal/mastership.ts'
import type { ChannelScan } from '../../wal/recover.ts'
import { manifestOf } from '../wal/hand-made-log.ts'

const manifest = manifestOf(1, [], 'replica')
const member = { row: 1, address: '10.0.0.2:7400', inSync: false, via: 0 }
const givenUp = { ...manifest.config, number: 5, quorum: 0, members: [member] }
const ruling = { ...givenUp, quorum: 1, members: [{ ...member, inSync: true }] }

t.test('WAL-78: the manifest follows', async (t) => {
  const written: unknown[] = []
  const pool = { run: async (_: string, args: unknown) => void written.push(args) } as unknown as JobRunner // writes only
  const keeper = new ManifestKeeper({ pool, directory: '/data', manifest: { ...manifest, config: givenUp } })
  await keeper.setConfig(ruling)
  t.same(keeper.current.config, ruling)
  await keeper.setConfig({ ...ruling })
  t.equal(written.length, 1, 'what it says already is not written again')
})

t.test('WAL-78: and the log goes before it at a start', (t) => {
  const found = { position: 0, epoch: 9n, config: ruling }
  const scans = [{ configs: [found] } as unknown as ChannelScan] // the rest is not used
  t.same(configOfScans({ config: givenUp }, scans, 9n), ruling)
  t.same(configOfScans({ config: givenUp }, scans, 8n), givenUp, 'once it is whole')
  t.end()
})
