/** docs/OPERATIONS.md, as a new user would go by it: its commands, in their order, on two machines. */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { PROJECT } from '../project.ts'
import { temporaryDirectory } from '../temp-directory.ts'
import { Machine, type Ran, whyNoMachines } from './two-machines.ts'

/** `install` and `both` are left to package.test.ts and systemd-boot.test.ts. */
const PAGE = readFileSync(join(PROJECT, 'docs/OPERATIONS.md'), 'utf8')
const BLOCKS = [...PAGE.matchAll(/^```sh on=(\w+)\n([\s\S]*?)^```$/gm)].map(([, on = '', text = '']) => ({ on, text }))

/** What a user would look at again a moment later: nodes find each other, and a replica is told last what is committed. */
const LATER: readonly (readonly [string, RegExp])[] = [
  ['travertine status', /^healthy/],
  ['travertine tail', /^(\{.*\n){3}$/],
]

async function untilGood(run: () => Promise<Ran>, good = /^/): Promise<Ran> {
  for (let tries = 1; ; tries++) {
    const ran = await run()
    if (good.test(ran.output) || tries === 20) return ran
  }
}

t.test('the page', { skip: whyNoMachines() }, async (t) => {
  const machines = Machine.pair(t, temporaryDirectory(t))
  const outputs: string[] = []
  let clusterId = 'UUID'
  for (const { on, text } of BLOCKS) {
    if (on !== 'master' && on !== 'replica') continue
    const block = text.replace('UUID', clusterId)
    const { code, output } = block.startsWith('systemctl enable')
      ? await machines[on].start(block)
      : await untilGood(() => machines[on].run(block), LATER.find(([command]) => block.startsWith(command))?.[1])
    outputs.push(output)
    if (code !== null) t.equal(code, 0, `${on}: ${text.trim().split('\n').at(-1)}`)
    else t.match(output, new RegExp(`^${on} ready on 10\\.0\\.0\\.[12]:7400`, 'm'))
    if (code !== null && code !== 0) t.comment(output)
    clusterId = /[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}/.exec(output)?.[0] ?? clusterId
  }
  const [tail = '', load = '', status = ''] = outputs.reverse()
  t.match(status, /^healthy, master 10\.0\.0\.1:7400/)
  t.match(load, /^acknowledged 1000 records \(PROPAGATED\)/m)
  t.equal(tail.trimEnd().split('\n').length, 3)

  const ca = '--ca /etc/travertine/ca.crt'
  const secret = '--secret-file /etc/travertine/secret'
  for (const [what, words] of [
    ['without the secret', ca],
    ['without TLS', secret],
    ['with authorities of the public', `${secret} --tls`],
  ] as const)
    t.equal((await machines.replica.run(`travertine tail 10.0.0.1:7400 ${words}`)).code, 6, what)
  const permissions = await machines.replica.run('stat --format %a /etc/travertine/secret /etc/travertine/replica.key')
  t.equal(permissions.output, '600\n600\n')
})
