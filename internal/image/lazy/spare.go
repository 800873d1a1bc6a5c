package lazy

// maxSpare is how many bytes of chunks are kept in memory for want of room in the file. The reads of a guest are smaller than
// chunks and come in rows, so even a few help.
const maxSpare = 8 << 20

// spare keeps the latest chunks, and is a user of each.
type spare struct {
	chunks map[int]*held
	order  []int
	bytes  int
}

func (s *spare) get(i int) *held { return s.chunks[i] }

// put keeps one; it is used once more.
func (s *spare) put(i int, h *held) {
	if s.chunks == nil {
		s.chunks = map[int]*held{}
	}
	h.use(1)
	s.drop(i)
	s.chunks[i] = h
	s.order = append(s.order, i)
	for s.bytes += cap(h.room); s.bytes > maxSpare; {
		s.drop(s.order[0])
	}
}

func (s *spare) drop(i int) {
	old, ok := s.chunks[i]
	if !ok {
		return
	}
	delete(s.chunks, i)
	s.bytes -= cap(old.room)
	old.release()
	for k, o := range s.order {
		if o == i {
			s.order = append(s.order[:k:k], s.order[k+1:]...)
			return
		}
	}
}

func (s *spare) clear() {
	for _, i := range append([]int(nil), s.order...) {
		s.drop(i)
	}
}
