"""The hot loop of the timing engine: one text that runs as Python on lists and, compiled by numba (`compiled.py`), on arrays.

Rules: `engine.py`.  Method: a queue runs ahead on its own for as long as nothing outside can change its times.  Only starts of shared
transfers are taken one by one, by (time, queue), each when no queue can run ahead any more, so that nothing earlier can appear.

Kinds are those of `table.py` and written as numbers here, where they are compared for every command: 0 work, 1 shared transfer, 2 set,
3 wait, 4 barrier, 5 barrier of all, 6 signal, 7 await.
"""

READY, STARVED, WAITING, AWAITING, HELD, STUCK, COMING, FLYING = range(8)
QUEUES = 13  # of a core
FLAGS = 32  # flags of a core that count
WEIGHT = 20  # see costs.py
REBASE = 1 << 60  # work served to a class since it came up at which it is counted from 0 again


def walk(commands, table, cores, costs, sharing, times, state, limit, now, pause):
    """Runs every queue up to its `limit`, a position in `order`; a queue's state and times say where it stands.

    Returns the time up to which transfers were followed, from which another call goes on.  With `pause` it also returns when a queue has
    come to its limit, before anything is decided that a command beyond a limit could have a part in.

    commands: order, qstart, index (in its stream), hold, code, partner, signals, signal_start.  table, by code: kind, occupancy, latency,
    peer, flag, class, work.  cores: copies, and by stream and flag send_start
    and from there on senders, recv_start and from there on receivers.  costs: issue, set_flag, wait_flag, barrier, signal.  sharing, by class:
    demand, use_start and, from there on, use_resource, use_weight; capacity by resource; by class again what is going on: served, rate,
    least goal, members.  times, by command, -1 where it has not run: start, end, complete.  state, by queue: position, free, done, what it
    waits for, and the goal of its transfer: what its class must have been served for it to end.
    """
    order, qstart, index, hold, code, partner, signals, signal_start = commands
    kinds, occupancies, latencies, set_peers, flags, classes, works = table
    copies, send_start, senders, recv_start, receivers = cores
    issue, set_flag, wait_flag, barrier, signal = costs
    demands, use_start, use_resource, use_weight, capacity, served, rates, least, members = sharing
    start, end, complete = times
    position, free, done, waits, goal = state
    ready = [q for q in range(len(position)) if position[q] < limit[q] and waits[q] < COMING]
    coming = [q for q in range(len(position)) if waits[q] == COMING]
    first = -1  # of the coming ones the one that starts first
    for q in coming:
        if first < 0 or start[order[position[q]]] < start[order[position[first]]]:
            first = q
    flying = [q for q in range(len(position)) if waits[q] == FLYING]
    live = [x for x in range(len(members)) if members[x] > 0]
    next_end = now
    changed = True
    hit = False
    while True:
        while len(ready):
            q = ready.pop()
            s = q // QUEUES
            at, last = position[q], limit[q]
            f, d = free[q], done[q]
            scalar = q == s * QUEUES
            mine = READY
            while at < last:
                g = order[at]
                h = hold[g]
                if h < 0:
                    t = issue * (index[g] + 1)
                elif end[h] < 0:
                    mine = STARVED
                    break
                else:
                    t = end[h] + issue * (index[g] - index[h])
                if f > t:
                    t = f
                start[g] = t
                c = code[g]
                k = kinds[c]
                if k == 0:
                    f = t + occupancies[c]
                    e = t + latencies[c]
                elif k == 2 or k == 6:
                    f = t + set_flag
                    e = (t if t > d else d) + set_flag
                elif k == 3:
                    p = partner[g]
                    if p < 0 or complete[p] < 0:
                        mine = WAITING
                        break
                    e = complete[p]
                    f = e = (t if t > e else e) + wait_flag
                elif k == 4:
                    f = e = (t if t > d else d) + barrier
                elif k == 1:
                    coming.append(q)
                    if first < 0 or t < start[order[position[first]]] or (t == start[order[position[first]]] and q < first):
                        first = q
                    position[q] = at
                    mine = COMING
                    break
                elif k == 5:
                    e = t if t > d else d
                    for w in range(q + 1, q + QUEUES):
                        if position[w] < qstart[w + 1] and order[position[w]] < g:
                            mine = HELD
                            break
                        if done[w] > e:
                            e = done[w]
                    if mine != READY:
                        break
                    f = e = e + barrier
                else:
                    e = t
                    n = partner[g]
                    w = s * FLAGS + flags[c]
                    if send_start[w] == send_start[w + 1]:
                        mine = STUCK
                    for i in range(send_start[w], send_start[w + 1]):
                        slot = senders[i] * FLAGS + flags[c]
                        j = signal_start[slot] + n
                        if j >= signal_start[slot + 1]:
                            mine = STUCK
                            break
                        arrival = complete[signals[j]]
                        if arrival < 0:
                            mine = AWAITING
                            break
                        if arrival + signal > e:
                            e = arrival + signal
                    if mine != READY:
                        break
                    f = e = e + wait_flag
                end[g] = f
                complete[g] = e
                if e > d:
                    d = e
                at += 1
                if k == 2:
                    w = s * QUEUES + set_peers[c]
                    if waits[w] == WAITING and partner[order[position[w]]] == g:
                        waits[w] = READY
                        ready.append(w)
                elif k == 6:
                    r = s * FLAGS + flags[c]
                    for i in range(recv_start[r], recv_start[r + 1]):
                        for w in range(receivers[i] * QUEUES, receivers[i] * QUEUES + QUEUES):
                            if waits[w] == AWAITING:
                                waits[w] = READY
                                ready.append(w)
                if scalar:
                    for w in range(q + 1, q + QUEUES):
                        if waits[w] == STARVED and end[hold[order[position[w]]]] >= 0:
                            waits[w] = READY
                            ready.append(w)
            position[q], free[q], done[q], waits[q] = at, f, d, mine
            hit = hit or (at >= last and last < qstart[q + 1])
            if not scalar and waits[s * QUEUES] == HELD:
                waits[s * QUEUES] = READY
                ready.append(s * QUEUES)
        if pause and hit:
            return now
        if len(flying) and (first < 0 or start[order[position[first]]] != now):
            if changed:
                changed = False
                fill(live, demands, use_start, use_resource, use_weight, capacity, members, rates)
                next_end = -1
                for x in live:
                    t = now - (served[x] - least[x]) // rates[x]
                    if next_end < 0 or t < next_end:
                        next_end = t
            if first < 0 or next_end <= start[order[position[first]]]:
                for x in live:
                    served[x] += rates[x] * (next_end - now)
                    least[x] = -1
                now = next_end
                changed = True
                keep = 0
                for i in range(len(flying)):
                    q = flying[i]
                    g = order[position[q]]
                    c = code[g]
                    x = classes[c]
                    if goal[q] > served[x]:
                        flying[keep] = q
                        keep += 1
                        if least[x] < 0 or goal[q] < least[x]:
                            least[x] = goal[q]
                        continue
                    t = start[g] + occupancies[c]
                    if now > t:
                        t = now
                    end[g] = free[q] = t
                    complete[g] = t + latencies[c] - occupancies[c]
                    if complete[g] > done[q]:
                        done[q] = complete[g]
                    position[q] += 1
                    waits[q] = READY
                    ready.append(q)
                    members[x] -= copies[q // QUEUES]
                    if q % QUEUES == 0:
                        for w in range(q + 1, q + QUEUES):
                            if waits[w] == STARVED and end[hold[order[position[w]]]] >= 0:
                                waits[w] = READY
                                ready.append(w)
                while len(flying) > keep:
                    flying.pop()
                keep = 0
                for i in range(len(live)):
                    x = live[i]
                    if members[x]:
                        live[keep] = x
                        keep += 1
                while len(live) > keep:
                    live.pop()
                continue
        if first < 0:
            return now
        q = first
        t = start[order[position[q]]]
        first = -1
        keep = 0
        for w in coming:
            if w != q:
                coming[keep] = w
                keep += 1
                if first < 0 or start[order[position[w]]] < start[order[position[first]]] or (start[order[position[w]]] == start[order[position[first]]] and w < first):
                    first = w
        coming.pop()
        if t != now:
            for x in live:
                served[x] += rates[x] * (t - now)
            now = t
        c = code[order[position[q]]]
        x = classes[c]
        if members[x] == 0:
            live.append(x)
            served[x] = 0
            least[x] = works[c]
        elif served[x] > REBASE:
            for w in flying:
                if classes[code[order[position[w]]]] == x:
                    goal[w] -= served[x]
            least[x] -= served[x]
            served[x] = 0
        goal[q] = served[x] + works[c]
        if goal[q] < least[x]:
            least[x] = goal[q]
        members[x] += copies[q // QUEUES]
        flying.append(q)
        waits[q] = FLYING
        changed = True


def fill(live, demands, use_start, use_resource, use_weight, capacity, members, rates):
    """Sets the rate of every class in flight, max-min fairly, rounded down.

    In each round all demands below the level of the scarcest resource are met, else that one is full.
    """
    size = len(capacity)
    left, load = [0] * size, [0] * size
    for r in range(size):
        left[r] = capacity[r]
    for x in live:
        for u in range(use_start[x], use_start[x + 1]):
            load[use_resource[u]] += use_weight[u] * members[x]
    rest = [x for x in live]
    while len(rest):
        level = -1
        for r in range(size):
            if load[r] and (level < 0 or (left[r] << WEIGHT) // load[r] < level):
                level = (left[r] << WEIGHT) // load[r]
        met = False
        for x in rest:
            met = met or demands[x] <= level
        full = [load[r] != 0 and (left[r] << WEIGHT) // load[r] == level for r in range(size)]
        keep = 0
        for i in range(len(rest)):
            x = rest[i]
            fixed = demands[x] <= level
            if not met:
                for u in range(use_start[x], use_start[x + 1]):
                    fixed = fixed or full[use_resource[u]]
            if not fixed:
                rest[keep] = x
                keep += 1
                continue
            rates[x] = demands[x] if met else max(level, 1)
            for u in range(use_start[x], use_start[x + 1]):
                weight = use_weight[u] * members[x]
                load[use_resource[u]] -= weight
                left[use_resource[u]] = max(0, left[use_resource[u]] - ((rates[x] * weight + (1 << WEIGHT) - 1) >> WEIGHT))
        while len(rest) > keep:
            rest.pop()
