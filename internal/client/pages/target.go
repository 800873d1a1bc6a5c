package pages

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"syscall"

	"golang.org/x/sys/unix"

	"vitrine/internal/image/format"
)

// ErrThere says that the file to write is there already.
var ErrThere = errors.New("is there already")

// Stream is a target that cannot be gone on with, of size bytes.
func Stream(w io.Writer, size int64) Target {
	return &streamTarget{w: bufio.NewWriterSize(w, 1<<20), size: size}
}

// streamTarget writes one byte after the other, zeros where nothing is put.
type streamTarget struct {
	w        *bufio.Writer
	at, size int64
}

func (s *streamTarget) has(int64, int64) []byte    { return nil }
func (s *streamTarget) landed(int64, []byte) error { return nil }
func (s *streamTarget) Abandon()                   {}
func (s *streamTarget) Discard() error             { return nil }

func (s *streamTarget) put(b []byte, at int64) error {
	if at < s.at {
		return errors.New("a stream cannot be written backwards")
	}
	var zeros [64 << 10]byte
	for s.at < at {
		n, err := s.w.Write(zeros[:min(at-s.at, int64(len(zeros)))])
		if s.at += int64(n); err != nil {
			return err
		}
	}
	n, err := s.w.Write(b)
	s.at += int64(n)
	return err
}

func (s *streamTarget) Finish() error { return errors.Join(s.put(nil, s.size), s.w.Flush()) }

// Note is the first line of a journal: what the part of a file is a part of.
type Note struct {
	Version string `json:"version"`
	Disk    string `json:"disk"` // identity of the temporary disk: another disk may hold other bytes
	Format  string `json:"format"`
	Size    int64  `json:"size"`
	File    int64  `json:"file"`
}

// landing is a further line: a window that is in the file.
type landing struct {
	At  int64  `json:"at"`
	Sum string `json:"sum"`
}

// fileTarget writes to FILE.part, keeps a journal in FILE.part.json, and gives the file its name at the end.
type fileTarget struct {
	path    string
	replace bool
	plan    *format.Plan
	file    *os.File
	journal *os.File
	there   map[int64]string // windows that the journal knows, by their sums
}

// OpenFile is the file at path, begun, or gone on with when what is there is a part of the same.
func OpenFile(path string, replace bool, plan *format.Plan, note Note) (Target, error) {
	if st, err := os.Lstat(path); err == nil && (!replace || !st.Mode().IsRegular()) {
		return nil, fmt.Errorf("%s %w", path, ErrThere)
	}
	t := &fileTarget{path: path, replace: replace, plan: plan, there: map[int64]string{}}
	var err error
	if t.journal, err = os.OpenFile(path+".part.json", os.O_RDWR|os.O_CREATE|syscall.O_NOFOLLOW, 0o600); err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(t.journal.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		t.journal.Close()
		return nil, fmt.Errorf("another export writes %s; wait until it has ended", path)
	}
	if t.file, err = os.OpenFile(path+".part", os.O_RDWR|os.O_CREATE|syscall.O_NOFOLLOW, 0o600); err != nil {
		t.journal.Close()
		return nil, err
	}
	if err := t.resume(note); err != nil {
		t.Abandon()
		return nil, err
	}
	return t, nil
}

// resume reads the journal; one of another export, or none, begins anew.
func (t *fileTarget) resume(note Note) error {
	raw, err := io.ReadAll(io.LimitReader(t.journal, 1<<30))
	if err != nil {
		return err
	}
	first, rest, _ := bytes.Cut(raw, []byte("\n"))
	var was Note
	if json.Unmarshal(first, &was) == nil && was == note {
		for line := range bytes.Lines(rest) {
			var l landing
			if bytes.HasSuffix(line, []byte("\n")) && json.Unmarshal(line, &l) == nil { // the last one may be cut off
				t.there[l.At] = l.Sum
			}
		}
		whole := bytes.LastIndexByte(raw, '\n') + 1
		if err := t.journal.Truncate(int64(whole)); err != nil {
			return err
		}
		_, err := t.journal.Seek(int64(whole), io.SeekStart)
		return err
	}
	if err := errors.Join(t.journal.Truncate(0), t.file.Truncate(0), t.file.Truncate(t.plan.Size)); err != nil {
		return err
	}
	if _, err := t.journal.Seek(0, io.SeekStart); err != nil {
		return err
	}
	return t.line(note)
}

func (t *fileTarget) line(v any) error {
	raw, err := json.Marshal(v)
	if err == nil {
		_, err = t.journal.Write(append(raw, '\n'))
	}
	return err
}

// has reads a window back from the file, and believes the file, not the journal: what a crash of the machine lost has another sum.
func (t *fileTarget) has(at, n int64) []byte {
	want, known := t.there[at]
	if !known {
		return nil
	}
	b := make([]byte, n)
	for done := int64(0); done < n; {
		place, length := t.plan.Place(at+done, n-done)
		if length <= 0 {
			return nil
		}
		if place >= 0 {
			if _, err := t.file.ReadAt(b[done:done+length], place); err != nil {
				return nil
			}
		}
		done += length
	}
	if fmt.Sprintf("%x", sha256.Sum256(b)) != want {
		return nil
	}
	return b
}

// put leaves out zeros: the file began as a hole.
func (t *fileTarget) put(b []byte, at int64) error {
	const grain = 4096
	for len(b) > 0 {
		n := min(grain-int(at%grain), len(b))
		for n < len(b) && blankBytes(b[n:min(n+grain, len(b))]) == blankBytes(b[:min(n, grain)]) && n < 1<<20 {
			n = min(n+grain, len(b))
		}
		if !blankBytes(b[:n]) {
			if _, err := t.file.WriteAt(b[:n], at); err != nil {
				return err
			}
		}
		b, at = b[n:], at+int64(n)
	}
	return nil
}

func (t *fileTarget) landed(at int64, b []byte) error {
	sum := fmt.Sprintf("%x", sha256.Sum256(b))
	if t.there[at] == sum {
		return nil
	}
	return t.line(landing{at, sum})
}

// Finish makes the file last, and then gives it its name.
func (t *fileTarget) Finish() error {
	if err := t.file.Sync(); err != nil {
		return err
	}
	var err error
	if t.replace {
		err = os.Rename(t.path+".part", t.path)
	} else if err = unix.Renameat2(unix.AT_FDCWD, t.path+".part", unix.AT_FDCWD, t.path, unix.RENAME_NOREPLACE); errors.Is(err, unix.EEXIST) {
		err = fmt.Errorf("%s %w", t.path, ErrThere)
	}
	if err != nil {
		return err
	}
	dir, err := os.Open(filepath.Dir(t.path))
	if err != nil {
		return err
	}
	defer dir.Close()
	return errors.Join(dir.Sync(), os.Remove(t.journal.Name()))
}

func (t *fileTarget) Discard() error {
	return errors.Join(os.Remove(t.file.Name()), os.Remove(t.journal.Name()))
}

func (t *fileTarget) Abandon() {
	t.file.Close()
	t.journal.Close()
}
