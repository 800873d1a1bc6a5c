package builtin

import (
	"math/big"
	"net/netip"

	"vitrine/internal/template/tree"
)

// addressFunctions are the functions over ranges of IP addresses. Never written to.
var addressFunctions = map[string]Function{
	"cidrhost":   {Min: 2, Max: 2, Eval: cidrHost},
	"cidrsubnet": {Min: 3, Max: 3, Eval: cidrSubnet},
	"parsecidr":  {Min: 1, Max: 1, Eval: parseCIDR},
}

// cidr is argument 0, a range; bits after the prefix are dropped, as ARM does.
func (c *Call) cidr() (netip.Prefix, error) {
	text, err := c.Text(0)
	if err != nil {
		return netip.Prefix{}, err
	}
	p, err := netip.ParsePrefix(text)
	if err != nil {
		return p, c.Fail("expects its parameter '1' to be a range of IP addresses in CIDR notation. The provided value is '%.100s'", text)
	}
	return p.Masked(), nil
}

// parseCIDR describes a range. IPv6 has no broadcast address, and all of its addresses count as usable.
func parseCIDR(c *Call) (any, error) {
	p, err := c.cidr()
	if err != nil {
		return nil, err
	}
	size := p.Addr().BitLen()
	ones := new(big.Int).Sub(power(size), big.NewInt(1))
	mask := new(big.Int).Lsh(new(big.Int).Sub(power(p.Bits()), big.NewInt(1)), uint(size-p.Bits()))
	last := address(new(big.Int).Or(number(p.Addr()), new(big.Int).AndNot(ones, mask)), size)
	o := tree.ObjectOf("network", p.Addr().String(), "netmask", address(mask, size).String())
	first, end := p.Addr(), last
	if p.Addr().Is4() {
		o.Set("broadcast", last.String())
		if p.Bits() < 31 {
			first, end = first.Next(), end.Prev()
		}
	}
	o.Set("firstUsable", first.String())
	o.Set("lastUsable", end.String())
	o.Set("cidr", int64(p.Bits()))
	return o, nil
}

func power(n int) *big.Int { return new(big.Int).Lsh(big.NewInt(1), uint(n)) }

func number(a netip.Addr) *big.Int { return new(big.Int).SetBytes(a.AsSlice()) }

func address(n *big.Int, size int) netip.Addr {
	a, _ := netip.AddrFromSlice(n.FillBytes(make([]byte, size/8))) // of 4 or 16 bytes, always
	return a
}

// cidrSubnet is the index-th range of the new prefix length within a range.
func cidrSubnet(c *Call) (any, error) {
	p, err := c.cidr()
	if err != nil {
		return nil, err
	}
	bits, err := c.Integer(1)
	if err != nil {
		return nil, err
	}
	index, err := c.Integer(2)
	if err != nil {
		return nil, err
	}
	size := p.Addr().BitLen()
	if bits < int64(p.Bits()) || bits > int64(size) {
		return nil, c.Fail("expects its parameter '2' to be from %d to %d. The provided value is '%d'", p.Bits(), size, bits)
	}
	if index < 0 || big.NewInt(index).Cmp(power(int(bits)-p.Bits())) >= 0 {
		return nil, c.Fail("expects its parameter '3' to be the index of a range of prefix length '%d' within '%s'. The provided value is '%d'", bits, p, index)
	}
	at := new(big.Int).Lsh(big.NewInt(index), uint(int64(size)-bits))
	return netip.PrefixFrom(address(at.Add(at, number(p.Addr())), size), int(bits)).String(), nil
}

// cidrHost is the index-th usable address of a range.
func cidrHost(c *Call) (any, error) {
	p, err := c.cidr()
	if err != nil {
		return nil, err
	}
	index, err := c.Integer(1)
	if err != nil {
		return nil, err
	}
	size := p.Addr().BitLen()
	count, first := power(size-p.Bits()), int64(0)
	if size-p.Bits() > 1 { // the network's own address is none of a host
		first = 1
		count.Sub(count, big.NewInt(1))
		if p.Addr().Is4() {
			count.Sub(count, big.NewInt(1))
		}
	}
	if index < 0 || big.NewInt(index).Cmp(count) >= 0 {
		return nil, c.Fail("expects its parameter '2' to be the index of a host within '%s'. The provided value is '%d'", p, index)
	}
	at := big.NewInt(index)
	at.Add(at, big.NewInt(first))
	return address(at.Add(at, number(p.Addr())), size).String(), nil
}
