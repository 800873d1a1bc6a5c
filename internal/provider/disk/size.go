package disk

import (
	"strings"

	"vitrine/internal/control"
)

const stamp = "2006-01-02T15:04:05.0000000-07:00"

func gigabytes(n int64) int { return int((n + gib - 1) / gib) }

// fill computes what follows from size and class. The numbers are Azure's for its smallest disks (recorded) and, for
// Premium, of the documented tiers.
func fill(r *resource) {
	p := &r.Properties
	if r.SKU == nil {
		r.SKU = &control.SKU{}
	}
	if r.SKU.Name == "" {
		r.SKU.Name = skus[0]
	}
	r.SKU.Tier = strings.TrimSuffix(strings.TrimSuffix(r.SKU.Name, "_LRS"), "_ZRS")
	r.SKU.Tier = strings.NewReplacer("StandardSSD", "Standard", "UltraSSD", "Ultra", "PremiumV2", "Premium").Replace(r.SKU.Tier)
	p.DiskIOPSReadWrite, p.DiskMBpsReadWrite, p.Tier = 500, 60, ""
	if strings.HasPrefix(r.SKU.Name, "Premium_") {
		t := tierOf(p.DiskSizeGB)
		p.DiskIOPSReadWrite, p.DiskMBpsReadWrite, p.Tier = t.iops, t.mbps, t.name
	}
	if noun(r) == "snapshot" {
		p.DiskIOPSReadWrite, p.DiskMBpsReadWrite, p.Tier = 0, 0, ""
	}
	p.DiskSizeBytes = int64(p.DiskSizeGB) * gib
	if p.Encryption == nil {
		p.Encryption = &Encryption{}
	}
	p.Encryption.Type = "EncryptionAtRestWithPlatformKey"
	for _, at := range []struct {
		value *string
		def   string
	}{{&p.NetworkAccessPolicy, "AllowAll"}, {&p.PublicNetworkAccess, "Enabled"}} {
		if *at.value == "" {
			*at.value = at.def
		}
	}
}

type tier struct {
	name       string
	gb         int
	iops, mbps int
}

func tierOf(gb int) tier {
	tiers := []tier{{"P1", 4, 120, 25}, {"P2", 8, 120, 25}, {"P3", 16, 120, 25}, {"P4", 32, 120, 25}, {"P6", 64, 240, 50},
		{"P10", 128, 500, 100}, {"P15", 256, 1100, 125}, {"P20", 512, 2300, 150}, {"P30", 1024, 5000, 200}, {"P40", 2048, 7500, 250},
		{"P50", 4096, 7500, 250}, {"P60", 8192, 16000, 500}, {"P70", 16384, 18000, 750}, {"P80", maxSizeGB, 20000, 900}}
	for _, t := range tiers {
		if gb <= t.gb {
			return t
		}
	}
	return tiers[len(tiers)-1]
}
