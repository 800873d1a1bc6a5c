// Package osprofile is what the guest of a machine is told at its first boot: the wire form of osProfile and its rules.
//
// It owns the members, the faults of a profile for an image, and what Azure fills in. It does not seal the secrets in it, nor
// bring them to the guest: provider/machine does.
package osprofile

import (
	"encoding/base64"
	"regexp"
	"strings"
	"unicode"

	"golang.org/x/crypto/ssh"

	"vitrine/internal/arm"
	"vitrine/internal/pattern"
)

// Check finds every fault of a profile for an image of a system (Linux, Windows) in a state (Generalized, Specialized). A
// specialized image takes none.
func Check(o *Profile, system, state string) (faults []*arm.Error) {
	switch {
	case state == "Specialized" && o != nil:
		return []*arm.Error{invalid("osProfile", "Parameter 'osProfile' is not allowed: the virtual machine is created from a specialized image or disk.")}
	case state == "Specialized":
		return nil
	case o == nil:
		return []*arm.Error{required("osProfile")}
	case system == "Windows":
		return []*arm.Error{invalid("osProfile", "This server cannot apply an osProfile to Windows; use a specialized image.")}
	}
	if len(o.Windows) > 0 {
		faults = append(faults, invalid("osProfile.windowsConfiguration", "Parameter 'osProfile.windowsConfiguration' is not allowed for a Linux image."))
	}
	if secrets := strings.TrimSpace(string(o.Secrets)); secrets != "" && secrets != "[]" && secrets != "null" {
		faults = append(faults, invalid("osProfile.secrets", "'osProfile.secrets' is not supported by this server."))
	}
	faults = append(faults, checkComputer(o.ComputerName)...)
	faults = append(faults, checkUser(o.AdminUsername)...)
	faults = append(faults, checkAuth(o)...)
	return append(faults, CheckData("customData", "Custom data in OSProfile", o.CustomData)...)
}

var (
	computerForm = pattern.New(`^[A-Za-z0-9]([A-Za-z0-9.-]{0,62}[A-Za-z0-9])?$`)
	digits       = regexp.MustCompile(`^[0-9]+$`)
	userForm     = pattern.New(`^[A-Za-z_][A-Za-z0-9_.-]{0,63}$`)
)

func checkComputer(name string) []*arm.Error {
	switch {
	case name == "":
		return []*arm.Error{required("osProfile.computerName")}
	case !computerForm.MatchString(name) || strings.Contains(name, "..") || digits.MatchString(name):
		return []*arm.Error{invalid("computerName", "Linux host name cannot exceed 64 characters in length, cannot be entirely numeric, or contain the following characters: ` ~ ! @ # $ %% ^ & * ( ) = + _ [ ] { } \\ | ; : ' \" , < > / ?.")}
	}
	return nil
}

// forbidden user names (learn.microsoft.com/azure/virtual-machines/linux/faq, "What are the username requirements").
const forbidden = " 1 123 a actuser adm admin admin1 admin2 administrator aspnet backup console david guest john owner root server sql support support_388945a0 sys test test1 test2 test3 user user1 user2 user3 user4 user5 video "

func checkUser(name string) []*arm.Error {
	switch {
	case name == "":
		return []*arm.Error{required("osProfile.adminUsername")}
	case strings.Contains(forbidden, " "+strings.ToLower(name)+" ") || !userForm.MatchString(name) || strings.HasSuffix(name, "."):
		return []*arm.Error{invalid("adminUsername", "The Admin Username specified is not allowed.")}
	}
	return nil
}

func checkAuth(o *Profile) (faults []*arm.Error) {
	noPassword := o.Linux != nil && o.Linux.NoPassword != nil && *o.Linux.NoPassword
	var keys []PublicKey
	if o.Linux != nil && o.Linux.SSH != nil {
		keys = o.Linux.SSH.Keys
	}
	switch {
	case noPassword && len(keys) == 0:
		faults = append(faults, invalid("linuxConfiguration", "Authentication using either SSH or by user name and password must be enabled in Linux profile."))
	case !noPassword && o.AdminPassword == "":
		faults = append(faults, required("adminPassword"))
	}
	if o.AdminPassword != "" && !strong(o.AdminPassword) {
		faults = append(faults, invalid("adminPassword", "The supplied password must be between 6-72 characters long and must satisfy at least 3 of password complexity requirements from the following: 1) Contains an uppercase character 2) Contains a lowercase character 3) Contains a numeric digit 4) Contains a special character 5) Control characters are not allowed"))
	}
	for _, k := range keys {
		if want := "/home/" + o.AdminUsername + "/.ssh/authorized_keys"; k.Path != "" && k.Path != want {
			faults = append(faults, invalid("linuxConfiguration.ssh.publicKeys.path", "Destination path for SSH public keys is currently limited to its default value %s due to a known issue in Linux provisioning agent.", want))
		}
		if !publicKey(k.Data) {
			faults = append(faults, invalid("linuxConfiguration.ssh.publicKeys.keyData", "The value of parameter linuxConfiguration.ssh.publicKeys.keyData is invalid."))
		}
	}
	return faults
}

const maxKey = 16 << 10 // bytes of one key

// publicKey accepts one line of authorized_keys.
func publicKey(line string) bool {
	line = strings.TrimSpace(line)
	if len(line) > maxKey || strings.ContainsAny(line, "\n\r\x00") {
		return false
	}
	_, _, _, _, err := ssh.ParseAuthorizedKey([]byte(line))
	return err == nil
}

func strong(password string) bool {
	if len(password) < 6 || len(password) > 72 {
		return false
	}
	var upper, lower, digit, special int
	for _, r := range password {
		switch {
		case unicode.IsControl(r):
			return false
		case unicode.IsUpper(r):
			upper = 1
		case unicode.IsLower(r):
			lower = 1
		case unicode.IsDigit(r):
			digit = 1
		default:
			special = 1
		}
	}
	return upper+lower+digit+special >= 3
}

func invalid(target, format string, args ...any) *arm.Error {
	return arm.Errorf(400, "InvalidParameter", format, args...).At(target)
}

func required(name string) *arm.Error {
	return invalid(name, "Required parameter '%s' is missing (null).", name)
}

const (
	maxEncoded = 87380 // characters, as Azure says
	maxDecoded = 65535
)

// CheckData finds the fault of customData or userData.
func CheckData(target, what, text string) []*arm.Error {
	raw, err := base64.StdEncoding.DecodeString(text)
	if err == nil && len(text) <= maxEncoded && len(raw) <= maxDecoded {
		return nil
	}
	return []*arm.Error{invalid(target, "%s must be in Base64 encoding and with a maximum length of %d characters.", what, maxEncoded)}
}

// Complete fills in what Azure answers for members that were not sent.
func (o *Profile) Complete() {
	yes := true
	if o.Secrets == nil {
		o.Secrets = []byte("[]")
	}
	for _, b := range []**bool{&o.Extensions, &o.Signal} {
		if *b == nil {
			*b = &yes
		}
	}
	if o.Linux == nil {
		o.Linux = &Linux{}
	}
	if o.Linux.NoPassword == nil {
		o.Linux.NoPassword = new(bool)
	}
	if o.Linux.Agent == nil {
		o.Linux.Agent = &yes
	}
	if o.Linux.Patch == nil {
		o.Linux.Patch = &PatchSettings{Mode: "ImageDefault", Assessment: "ImageDefault"}
	}
}
