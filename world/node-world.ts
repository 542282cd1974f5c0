/** The world as it is: Node's clock, TCP, and the random bytes of the operating system. */
import { randomBytes } from 'node:crypto'
import type { World } from '../protocol/world.ts'
import { nodeClock } from './node-clock.ts'
import { nodeNetwork } from './node-network.ts'

export const nodeWorld: World = { clock: nodeClock, network: nodeNetwork, randomBytes }
