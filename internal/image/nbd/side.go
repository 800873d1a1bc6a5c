package nbd

// side answers reads side by side: of up to maxReads workers one waits for the next request and answers it itself, while another waits for
// the one after. So no request is handed from one to another, which would cost it a change of thread.
func (s *server) side() error {
	s.turn.Lock()
	s.hire()
	s.turn.Unlock()
	s.workers.Wait()
	return s.ended
}

// hire begins another worker. turn is held.
func (s *server) hire() {
	s.working++
	s.waiting.Add(1)
	s.workers.Go(s.work)
}

func (s *server) work() {
	for {
		s.turn.Lock()
		q, ok := s.take()
		if s.waiting.Add(-1) == 0 && ok && s.working < maxReads {
			s.hire()
		}
		s.turn.Unlock()
		if !ok {
			return
		}
		s.answerRead(q)
		s.waiting.Add(1)
	}
}

// answerRead answers a read.
func (s *server) answerRead(q order) {
	buffer, ok := s.pool.Get().(*[]byte)
	if !ok {
		buffer = new([]byte)
	}
	*buffer = enough(*buffer, q.n)
	data := (*buffer)[:q.n]
	err := s.answer(q, s.do(cmdRead, data, q.off, uint64(q.n)), data)
	s.pool.Put(buffer)
	if err == nil {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.broken == nil {
		s.broken = err
	}
}

// take gives the next read, and answers whatever else comes before it. turn is held.
func (s *server) take() (order, bool) {
	for !s.over {
		q, err := s.next()
		if err == nil {
			s.mu.Lock()
			err = s.broken
			s.mu.Unlock()
		}
		if err == nil && q.command != cmdRead {
			err = s.carryOut(q)
		} else if err == nil {
			return q, true
		}
		if err != nil {
			s.over, s.ended = true, err
		}
	}
	return order{}, false
}
