/**
 * One Travertine node in a process of its own, as `travertine init` and `travertine run` make it, with every setting at its
 * default, unless the run is a quick one: what is measured is what users get. Only warnings and errors of its log are shown.
 */
import { initNode, startNode } from '../daemon/node.ts'
import { endWithParent, tellParent } from './child-process.ts'

export interface NodeOrder {
  readonly directory: string
  readonly role: 'master' | 'replica'
  readonly clusterId: string
  readonly channels: number
  readonly segmentBytes: number
  /** Of a master: where its replicas are. */
  readonly replicas: readonly string[]
}

const { directory, ...rest } = JSON.parse(process.argv[2] ?? '{}') as NodeOrder // written by systems.ts
initNode({ directory, ...rest })
const node = await startNode({
  directory,
  port: 0,
  onLog: ({ level, text }) => {
    if (level !== 'info') process.stderr.write(`\n${rest.role}: ${text}\n`)
  },
})
endWithParent(() => node.close())
tellParent({ port: node.port })
