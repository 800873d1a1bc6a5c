package seed

import (
	"crypto/rand"
	"crypto/sha512"
	"fmt"
	"strings"
)

// cryptAlphabet is the base-64 of crypt(3), which is nobody else's.
const cryptAlphabet = "./0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"

// cryptRounds is the default of the specification; it is not written into the hash then.
const cryptRounds = 5000

// HashPassword answers the SHA-512 crypt ("$6$") form of a password under a new random salt.
func HashPassword(password string) (string, error) {
	if password == "" || len(password) > 256 || strings.ContainsRune(password, 0) {
		return "", fmt.Errorf("seed: a password has 1 to 256 bytes, none of them NUL")
	}
	salt := make([]byte, 16)
	if _, err := rand.Read(salt); err != nil {
		return "", err
	}
	for i := range salt {
		salt[i] = cryptAlphabet[salt[i]&63]
	}
	return sha512Crypt(password, string(salt)), nil
}

// sha512Crypt follows Ulrich Drepper's "Unix crypt using SHA-256 and SHA-512", steps 1 to 22, with default rounds.
func sha512Crypt(password, salt string) string {
	p, s := []byte(password), []byte(salt)
	b := sum(p, s, p)
	a := sha512.New()
	a.Write(p)
	a.Write(s)
	a.Write(stretch(b, len(p)))
	for n := len(p); n > 0; n >>= 1 {
		if n&1 == 1 {
			a.Write(b)
		} else {
			a.Write(p)
		}
	}
	c := a.Sum(nil)

	dp := sha512.New()
	for range p {
		dp.Write(p)
	}
	ps := stretch(dp.Sum(nil), len(p))
	ds := sha512.New()
	for range 16 + int(c[0]) {
		ds.Write(s)
	}
	ss := stretch(ds.Sum(nil), len(s))

	for i := range cryptRounds {
		c = cryptRound(i, c, ps, ss)
	}
	return "$6$" + salt + "$" + cryptEncode(c)
}

// cryptRound is step 21.
func cryptRound(i int, c, ps, ss []byte) []byte {
	first, last := c, ps
	if i%2 == 1 {
		first, last = ps, c
	}
	parts := [][]byte{first}
	if i%3 != 0 {
		parts = append(parts, ss)
	}
	if i%7 != 0 {
		parts = append(parts, ps)
	}
	return sum(append(parts, last)...)
}

func sum(parts ...[]byte) []byte {
	h := sha512.New()
	for _, p := range parts {
		h.Write(p)
	}
	return h.Sum(nil)
}

// stretch repeats block until n bytes are full.
func stretch(block []byte, n int) []byte {
	out := make([]byte, 0, n+len(block))
	for len(out) < n {
		out = append(out, block...)
	}
	return out[:n]
}

// cryptEncode writes 64 bytes in the order of step 22: triples whose members rotate through the thirds of the digest.
func cryptEncode(d []byte) string {
	var out strings.Builder
	write := func(v uint, n int) {
		for range n {
			out.WriteByte(cryptAlphabet[v&63])
			v >>= 6
		}
	}
	a, b, c := 0, 21, 42
	for range 21 {
		write(uint(d[a])<<16|uint(d[b])<<8|uint(d[c]), 4)
		a, b, c = b+1, c+1, a+1
	}
	write(uint(d[63]), 2)
	return out.String()
}
