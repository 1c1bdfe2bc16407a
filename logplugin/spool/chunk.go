package spool

// A segment in memory has one of these sizes. A container that logs little has a small one: the memory is for all.
const (
	chunkBytes = 32 << 10
	smallChunk = 4 << 10
)

// leaveDisk goes on in memory: the pipe is drained whatever the disk does. A chunk with room stays the current segment, for
// there may be many tries to return and few bytes between them.
func (d *drain) leaveDisk(err error) {
	s := d.s
	if !d.disk.active {
		s.trouble.log().Error("spool goes on in memory: the disk does not take the log", "error", err)
	}
	d.disk.active, d.disk.why, d.disk.nextTry = true, err, s.store.clock.Mono().add(s.store.cfg.Retry)
	s.segs.out.Lock()
	if !s.segs.chunkHasRoom() {
		s.segs.setCurrent(nil)
	}
	s.segs.out.Unlock()
	s.inRAM.Store(true)
	s.trouble.set(useDisk, err) // next tries again
	s.segs.closeOthers(s.Taken())
}

// chunkHasRoom reports whether the current segment is in memory and takes more. Call it under out.
func (s *segments) chunkHasRoom() bool {
	return s.cur != nil && s.cur.mem != nil && s.cur.size < s.cur.limit
}

// toMemory reads the pipe into a new chunk. If memory is all used, and nothing of it may be dropped, the bytes are
// dropped at once: the pipe is drained whatever happens. Call it under out.
func (d *drain) toMemory(fd uintptr) {
	s := &d.s.segs
	size := int64(smallChunk)
	if have := s.ram.Load(); have > 0 {
		size = min(chunkBytes, max(smallChunk, d.s.opt.memoryBytes-have))
	}
	if !d.take(size) {
		d.drop(fd)
		return
	}
	mem := make([]byte, size)
	if d.n, d.err = d.read(fd, mem); d.n == 0 {
		d.s.store.memory.used.Add(-size)
		return
	}
	d.addChunk(mem, size, true)
}

// take takes memory for a chunk, from another if there is not enough. Call it under out, which is free meanwhile.
func (d *drain) take(n int64) bool {
	st := d.s.store
	if st.memory.take(n) {
		return true
	}
	d.s.segs.out.Unlock()
	defer d.s.segs.out.Lock()
	return st.makeMemory(n)
}

// addChunk puts d.n bytes in mem at the end, for which held bytes of memory have been taken. Call it under out.
func (d *drain) addChunk(mem []byte, held int64, current bool) *segment {
	s, now := &d.s.segs, d.s.store.clock.Mono()
	end := s.last()
	d.s.ledger.arrived(end, now)
	s.count(0, held)
	d.cut = d.n == len(mem)
	g := &segment{base: end, limit: int64(len(mem)), size: int64(d.n), mem: mem, held: held, born: now}
	s.add(g, current)
	return g
}

// drop reads the pipe and drops what it has read, counted. Call it under out, which is free meanwhile.
func (d *drain) drop(fd uintptr) {
	mem := make([]byte, chunkBytes)
	if d.n, d.err = d.read(fd, mem); d.n == 0 {
		return
	}
	g := d.addChunk(mem, 0, false)
	d.s.segs.out.Unlock()
	for d.s.drop(inRAM, true) {
	}
	d.s.segs.out.Lock()
	d.s.segs.own(g)
}

// own counts the memory of a segment that could not be dropped.
func (s *segments) own(g *segment) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !g.gone {
		g.held = int64(len(g.mem))
		s.store.memory.used.Add(g.held)
		s.count(0, g.held)
	}
}

// keep puts bytes that the disk has not taken into memory. Call it under out.
func (d *drain) keep(b []byte) {
	n := d.n
	d.n = len(b)
	d.s.store.memory.used.Add(int64(len(b))) // keepLimits makes room for them
	d.addChunk(append([]byte(nil), b...), int64(len(b)), false)
	d.n = n
}

// keepLimits drops what is too much.
func (d *drain) keepLimits() {
	s, st := d.s, d.s.store
	for s.segs.disk.Load() > s.opt.MaxBytes && s.drop(onDisk, s.segs.disk.Load() > s.opt.MaxBytes/slack*(slack+1)) {
	}
	if st.memory.used.Load() > st.memory.limit {
		st.makeMemory(0)
	}
	if !d.disk.active {
		if st.disk.Load() > st.space.total.Load() || st.space.low(false) {
			if st.makeRoom(); st.space.low(false) {
				d.leaveDisk(errLowSpace)
			}
		}
		return
	}
	tooMuch := func() bool { return s.segs.ram.Load() > s.opt.memoryBytes }
	if !tooMuch() {
		return
	}
	// The oldest is on disk, and may make room there. If it does not help, others fill the disk: do not feed them all.
	if now := st.clock.Mono(); isFull(d.disk.why) && now >= d.disk.nextCut && s.drop(onDisk, false) {
		d.disk.nextCut, d.disk.nextTry = now.add(st.cfg.Retry), now
		d.next()
	}
	for tooMuch() && s.drop(inRAM, true) {
	}
}
