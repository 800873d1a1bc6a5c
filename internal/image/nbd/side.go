package nbd

import "io"

// PartReader is a Reader that can give what ReadAt would in parts, some of which may lie elsewhere than in p, until release is called.
type PartReader interface {
	ReadParts(p []byte, off int64) (parts [][]byte, release func(), err error)
}

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
	err := s.answerParts(q, (*buffer)[:q.n])
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

// answerParts lets a Reader that can give its bytes where they lie do so.
func (s *server) answerParts(q order, data []byte) error {
	r, ok := s.Reader.(PartReader)
	if !ok || q.off >= uint64(s.Size) || uint64(q.n) > uint64(s.Size)-q.off {
		return s.answer(q, s.do(cmdRead, data, q.off, uint64(q.n)), data)
	}
	parts, release, err := r.ReadParts(data, int64(q.off))
	if err != nil {
		return s.answer(q, s.fail(err))
	}
	defer release()
	n := 0
	for _, p := range parts {
		n += len(p)
	}
	if n != len(data) {
		return s.answer(q, s.fail(io.ErrUnexpectedEOF))
	}
	return s.answer(q, 0, parts...)
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
