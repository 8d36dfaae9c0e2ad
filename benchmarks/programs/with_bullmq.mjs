// BullMQ, on Node. The same verbs and measurements as peer.py; see there.

import { createInterface } from 'node:readline'
import { createRequire } from 'node:module'
import { performance } from 'node:perf_hooks'

const require = createRequire(process.env.BENCH_NODE_FOLDER + '/')
const { Queue, QueueEvents, Worker } = require('bullmq')

const SLOTS = 50
const STILL_RUNNING = 100
const PAUSE_MS = 20

let connection, queue, events, worker, last
const tally = { count: 0, goal: 0, firstAt: 0, reached: null, resolve: null }

function expect(goal) {
  tally.count = 0
  tally.goal = goal
  tally.reached = new Promise(resolve => { tally.resolve = resolve })
}

async function echo(job) {
  const now = performance.now()
  if (tally.count++ === 0) tally.firstAt = now
  if (tally.count === tally.goal) tally.resolve()
  return job.data.n
}

const numbers = count => Array.from({ length: count }, (_, n) => n)
const pause = ms => new Promise(resolve => setTimeout(resolve, ms))
const submit = n => queue.add('echo', { n })
const gathered = ns => Promise.all(ns.map(submit))
const submitMany = ns => queue.addBulk(ns.map(n => ({ name: 'echo', data: { n } })))
const results = jobs => Promise.all(jobs.map(job => job.waitUntilFinished(events)))

async function work() {
  events = new QueueEvents('bench', { connection })
  await events.waitUntilReady()
  worker = new Worker('bench', echo, { connection, concurrency: SLOTS })
}

async function timed(run) {
  const started = performance.now()
  await run()
  return { seconds: (performance.now() - started) / 1000 }
}

function cpuSeconds() {
  const used = process.cpuUsage()
  return (used.user + used.system) / 1e6
}

const verbs = {
  async open({ url, works }) {
    const { hostname, port } = new URL(url)
    connection = { host: hostname, port: Number(port) }
    queue = new Queue('bench', { connection })
    await queue.waitUntilReady()
    if (!works) {
      await submit(0)
    } else {
      await work()
      expect(20)
      const jobs = await gathered(numbers(20))
      await tally.reached
      await results(jobs)
    }
    return { python: 'Node ' + process.versions.node, pid: process.pid }
  },

  submit_alone: ({ count }) => timed(async () => { for (let n = 0; n < count; n++) await submit(n) }),

  submit_gathered: ({ count }) => timed(() => gathered(numbers(count))),

  submit_batch: ({ count }) => timed(() => submitMany(numbers(count))),

  fill: ({ count, text }) => timed(async () => {
    const ns = text ? numbers(count).map(n => String(n).padStart(20, '0')) : numbers(count)
    for (let at = 0; at < count; at += 10_000) last = await submitMany(ns.slice(at, at + 10_000))
    last = last.slice(-STILL_RUNNING)
  }),

  async drain({ count }) {
    expect(count)
    const cpu = cpuSeconds()
    await work()
    await tally.reached
    await results(last)
    const seconds = (performance.now() - tally.firstAt) / 1000
    return { seconds, started: tally.count, cpu_seconds: cpuSeconds() - cpu }
  },

  async round_trip({ count }) {
    expect(count)
    return timed(async () => {
      const jobs = await gathered(numbers(count))
      await tally.reached
      const found = await results(jobs)
      if (!found.every((value, n) => value === n)) throw new Error('a result is not what its task returned')
    })
  },

  async pick_up({ count, seconds }) {
    const waits = []
    const giveUpAt = performance.now() + seconds * 1000
    while (waits.length < count && performance.now() < giveUpAt) {
      await pause(PAUSE_MS)
      expect(1)
      const called = performance.now()
      await submit(waits.length)
      await tally.reached
      waits.push(tally.firstAt - called)
    }
    waits.sort((a, b) => a - b)
    const at = part => waits[Math.min(waits.length - 1, Math.floor(waits.length * part))]
    return { p50_ms: at(0.5), p99_ms: at(0.99), count: waits.length }
  },

  async usage() {
    return { cpu_seconds: cpuSeconds(), rss_bytes: process.memoryUsage.rss() }
  },
}

for await (const line of createInterface({ input: process.stdin })) {
  const { do: verb, ...given } = JSON.parse(line)
  let answer
  try {
    answer = { ok: await verbs[verb](given) }
  } catch (error) {
    console.error(error)
    answer = { error: String(error) }
  }
  process.stdout.write(JSON.stringify(answer) + '\n')
}
process.exit(0)
