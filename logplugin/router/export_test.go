package router

// LookAgain has the next batch try the first address, as it is tried a minute after it has failed.
func (s *Socket) LookAgain() {
	s.failover.mu.Lock()
	defer s.failover.mu.Unlock()
	s.failover.tried = s.failover.tried.Add(-returnToFirst)
}
