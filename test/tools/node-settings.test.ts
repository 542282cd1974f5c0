/** SIGHUP while a node starts, which may take as long as a recovery: what it has read again is for the node that comes up. */
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { NodeSettings } from '../../tools/node-settings.ts'
import { temporaryDirectory } from '../temp-directory.ts'

t.test('a SIGHUP before the node is up reaches it when it is', async (t) => {
  const file = join(temporaryDirectory(t), 'node.toml')
  const write = (fed: string): void => writeFileSync(file, `[log]\nlevel = "error"\n[cascade]\nreplicas = ["${fed}"]\n`)
  const told: (readonly string[] | string)[] = []
  const node = {
    feed: (replicas: readonly string[]): void => void told.push(replicas),
    renewSecurity: (): void => void told.push('security'),
  }
  write('a:1')
  const settings = new NodeSettings('/data', { config: file })
  settings.started(node)
  t.same(told, [], 'it was started with what the places say')
  write('b:1')
  settings.reload(undefined)
  t.same(told, [], 'there is no node to be told')
  settings.started(node)
  t.same(told, ['security', ['b:1']])
  settings.started(node)
  t.equal(told.length, 2, 'once')
})
