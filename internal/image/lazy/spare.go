package lazy

// maxSpare is how many bytes of chunks are kept in memory for want of room in the file. The reads of a guest are smaller than
// chunks and come in rows, so even a few help.
const maxSpare = 8 << 20

// spare keeps the latest chunks.
type spare struct {
	plain map[int][]byte
	order []int
	bytes int
}

func (s *spare) get(i int) []byte { return s.plain[i] }

func (s *spare) put(i int, plain []byte) {
	if s.plain == nil {
		s.plain = map[int][]byte{}
	}
	s.drop(i)
	s.plain[i] = plain
	s.order = append(s.order, i)
	for s.bytes += len(plain); s.bytes > maxSpare; {
		s.drop(s.order[0])
	}
}

func (s *spare) drop(i int) {
	old, ok := s.plain[i]
	if !ok {
		return
	}
	delete(s.plain, i)
	s.bytes -= len(old)
	for k, o := range s.order {
		if o == i {
			s.order = append(s.order[:k:k], s.order[k+1:]...)
			return
		}
	}
}
