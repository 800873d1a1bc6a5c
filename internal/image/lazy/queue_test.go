package lazy

import (
	"os"
	"testing"
	"time"
)

// slowFile writes nothing until it may.
type slowFile struct {
	*os.File
	may chan struct{}
}

func (f slowFile) WriteAt(p []byte, off int64) (int, error) {
	<-f.may
	return f.File.WriteAt(p, off)
}

// A guest has its bytes before they are in the file, again and again, but only so many of them; the bits come after the bytes.
func TestAnsweredBeforeWritten(t *testing.T) {
	d := newDisk(37, 1500)
	c := d.config(t.TempDir())
	may := make(chan struct{})
	c.open = func(path string) (file, error) {
		f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
		return slowFile{f, may}, err
	}
	b := open(t, c)
	most, m := 0, memory{}
	for room := maxQueue; ; most++ {
		h := m.get(d.entries[most].Length)
		if room -= cap(h.room); room < 0 {
			break
		}
	}
	for range 2 {
		for _, e := range d.entries[:most] {
			d.check(t, b, e.Offset, int64(e.Length))
		}
	}
	if n := d.fetched.Load(); int(n) != most {
		t.Errorf("%d fetches of %d chunks", n, most)
	}
	if s := b.Status(); s.Present != 0 {
		t.Errorf("%d chunks are said to be in the file, to which nothing was written", s.Present)
	}
	answered := make(chan struct{})
	go func() {
		defer close(answered)
		d.check(t, b, d.entries[most].Offset, 512)
	}()
	select {
	case <-answered:
		t.Error("more than the queue has room for is answered before it is written")
	case <-time.After(50 * time.Millisecond):
	}
	close(may)
	<-answered
	d.check(t, b, 0, c.Size)
	must(t, b.Close())
	d.fetched.Store(0)
	b = open(t, c)
	d.check(t, b, 0, c.Size)
	if n := d.fetched.Load(); n != 0 {
		t.Errorf("%d chunks were lost, though the base was closed", n)
	}
	must(t, b.Close())
}

// Memory goes back once the readers and the queue are done with it, and not before.
func TestMemory(t *testing.T) {
	d := newDisk(41, 3)
	b := open(t, d.config(t.TempDir()))
	h, err := b.bring(0, true)
	must(t, err)
	again, err := b.bring(0, true)
	must(t, err)
	if again != nil && again != h {
		t.Error("one chunk is twice in memory")
	}
	b.flush()
	if h.plain == nil {
		t.Error("the memory of a chunk went back while it was read")
	}
	if again != nil {
		again.release()
	}
	h.release()
	if h.plain != nil || h.users.Load() != 0 {
		t.Errorf("the memory of a chunk that is in the file has %d users", h.users.Load())
	}
	must(t, b.Close())
}
