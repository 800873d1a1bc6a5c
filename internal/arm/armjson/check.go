package armjson

import (
	"encoding/json"
	"errors"
	"strings"
	"unicode/utf8"

	"vitrine/internal/arm"
)

const maxDepth = 64

// Check sees that a request's body is an object of well-formed JSON, not nested beyond reason. Nothing at all is an empty object.
func Check(raw []byte) (json.RawMessage, error) {
	if len(strings.TrimSpace(string(raw))) == 0 {
		return json.RawMessage("{}"), nil
	}
	if !utf8.Valid(raw) {
		return nil, badContent("not UTF-8", 0)
	}
	depth, inString, escaped := 0, false, false
	for i, b := range raw {
		switch {
		case escaped:
			escaped = false
		case inString:
			escaped, inString = b == '\\', b != '"'
		case b == '"':
			inString = true
		case b == '{' || b == '[':
			if depth++; depth > maxDepth {
				return nil, badContent("nested deeper than 64 levels", i)
			}
		case b == '}' || b == ']':
			depth--
		}
	}
	var any json.RawMessage
	if err := json.Unmarshal(raw, &any); err != nil {
		var syntax *json.SyntaxError
		position := int64(len(raw))
		if errors.As(err, &syntax) {
			position = syntax.Offset
		}
		return nil, badContent(err.Error(), int(position))
	}
	if any[0] != '{' {
		return nil, badContent("an object is expected", 0)
	}
	return any, nil
}

func badContent(what string, position int) error {
	return arm.Errorf(400, "InvalidRequestContent", "The request content was invalid and could not be deserialized: '%s, position %d.'.", what, position)
}
