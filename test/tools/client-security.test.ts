/** The commands that connect, on a pair that asks for a secret, speaks TLS and wants certificates; and their refusals. */
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { PROJECT } from '../project.ts'
import { temporaryDirectory } from '../temp-directory.ts'
import { runHere } from './in-process.ts'
import { newMaster, newReplica, runNode } from './node-pair.ts'
import { type Ended, errorCode, lastObject, run } from './travertine.ts'

const CLUSTER = '00000000-0000-4000-8000-000000000001'
const SECRETS = { all: 'all-0123456789abcdef0123456789abcdef', reader: 'reader-0123456789abcdef0123456789ab' }
const key = (name: string): string => join(PROJECT, 'test/tls/keys', name)
const TLS = ['--ca', key('ca.crt'), '--cert', key('client.crt'), '--cert-key', key('client.key')]

t.test('load, status and tail prove a secret, and speak TLS', async (t) => {
  const directory = temporaryDirectory(t)
  const file = (name: string, text: string): string => {
    writeFileSync(join(directory, name), text, { mode: 0o600 })
    return join(directory, name)
  }
  const nodeSecrets = file('node', `all ${SECRETS.all}\nreader ${SECRETS.reader}\n`)
  const reader = file('reader', `# may only read\nreader ${SECRETS.reader}\n`)
  const stranger = file('stranger', 'all stranger-0123456789abcdef01234567\n')
  const input = file('input', 'one\ntwo\nthree\n')
  const env = {
    TRAVERTINE_SECURITY_SECRET_FILE: nodeSecrets,
    TRAVERTINE_SECURITY_TLS_CERTIFICATE_FILE: key('node.crt'),
    TRAVERTINE_SECURITY_TLS_KEY_FILE: key('node.key'),
    TRAVERTINE_SECURITY_TLS_AUTHORITY_FILE: key('ca.crt'),
    TRAVERTINE_SECURITY_TLS_REQUIRE_CLIENT_CERTIFICATE: 'true',
  }
  newReplica(join(directory, 'b'), CLUSTER)
  const replica = await runNode(t, join(directory, 'b'), [], env)
  newMaster(join(directory, 'a'), [`127.0.0.1:${replica.port}`], CLUSTER)
  const master = await runNode(t, join(directory, 'a'), [], env)
  const address = `127.0.0.1:${master.port}`
  const load = ['load', input, '--format', 'lines', '--address', address, '--json']
  let printed = ''
  const noted = (ended: Ended): Ended => {
    printed += ended.stdout + ended.stderr
    return ended
  }
  const runs = async (...words: readonly string[]) => noted(await run(t, words))
  const asks = async (...words: readonly string[]) => noted(await runHere(words))

  const loaded = await runs(...load, '--secret-file', nodeSecrets, ...TLS)
  t.match(lastObject(loaded), { ok: true, acknowledged: { records: 3 } }, 'PROPAGATED: the pair speaks TLS, too')
  const status = await runs('status', address, '--json', '--secret-file', reader, ...TLS)
  t.match(lastObject(status), { ok: true, nodes: [{ why: '' }, { why: '' }] }, 'both nodes were asked')
  const tail = await runs('tail', address, '--secret-file', reader, ...TLS)
  t.same((tail.stdout.match(/"value":"\w+"/g) ?? []).join(), '"value":"one","value":"two","value":"three"')

  const code = async (...words: readonly string[]): Promise<unknown> => errorCode(lastObject(await asks(...words)))
  t.equal(await code(...load, ...TLS), 'AUTHENTICATION_FAILED', 'no secret')
  t.equal(await code(...load, '--secret-file', stranger, ...TLS), 'AUTHENTICATION_FAILED', 'a wrong one')
  t.equal(await code(...load, '--secret-file', reader, ...TLS), 'CONFIG_INVALID', 'none that lets write')
  t.equal(await code(...load, '--secret-file', nodeSecrets), 'CONNECT_FAILED', 'no TLS')
  t.equal(await code(...load, '--secret-file', nodeSecrets, '--tls'), 'CONNECT_FAILED', 'not signed by the public')
  t.equal(await code(...load, '--secret-file', nodeSecrets, '--ca', key('ca.crt')), 'CONNECT_FAILED', 'no certificate')
  t.equal(await code(...load, '--secret-file', join(directory, 'none'), ...TLS), 'CONFIG_INVALID', 'no such file')
  t.equal(await code(...load, '--cert', key('client.crt')), 'CONFIG_INVALID', 'a certificate without its key')
  const wrong = await asks('status', address, '--secret-file', stranger, ...TLS)
  t.equal(wrong.code, 9)
  t.match(wrong.stdout, /WHY .*AUTHENTICATION_FAILED/)

  printed += master.command.stderr + replica.command.stderr
  for (const secret of Object.values(SECRETS)) t.notMatch(printed, secret, 'no secret is ever printed')
})
