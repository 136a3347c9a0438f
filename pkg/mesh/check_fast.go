package mesh

// surelyFits reports whether an object in the plain block style fits its schema, without
// building a tree. A no means nothing: then the tree is checked.
func (c *checker) surelyFits(o *Object, s *schema) bool {
	if o.isJSON || !plainText(o.raw) {
		return false
	}
	f := &fastCheck{below: s}
	scan := newScanner(o.text())
	var e entry
	for scan.next(&e) {
		if !f.take(&e, scan.stack) {
			return false
		}
	}
	return !scan.odd
}

// fastCheck follows the blocks of a scanner with the schema of each.
type fastCheck struct {
	open  []fastBlock
	below *schema // of the value that has not begun yet
}

// fastBlock is an open block: the schema of what is in it.
type fastBlock struct {
	block
	of   *schema
	seen uint64   // fields of a message, by index
	keys []string // of a mapping with keys of its own
}

func (f *fastCheck) take(e *entry, stack []block) bool {
	if !f.follow(e, stack) {
		return false
	}
	top := &f.open[len(f.open)-1]
	of := top.of.elem
	if e.key != nil {
		of = top.key(string(e.key))
	}
	if of == nil {
		return false
	}
	f.below = of
	return fits(e, of)
}

// follow opens and closes blocks as the scanner did for the entry. A block that opens
// at some depth comes after an entry one less deep, so what is open there is not stale.
func (f *fastCheck) follow(e *entry, stack []block) bool {
	keep := len(stack)
	if e.item {
		keep = e.dash
	}
	if len(f.open) > keep {
		f.open = f.open[:keep]
	}
	for i := len(f.open); i < len(stack); i++ {
		of := f.below
		if i > 0 && f.open[i-1].seq {
			of = f.open[i-1].of.elem
		}
		want := isMap
		if stack[i].seq {
			want = isList
		}
		if of == nil || of.kind != want {
			return false
		}
		f.open = append(f.open, fastBlock{block: stack[i], of: of})
	}
	return len(f.open) > 0
}

// key is the schema of a key's value, nil where it is unknown or given twice.
func (b *fastBlock) key(name string) *schema {
	if b.of.fields == nil {
		for _, before := range b.keys {
			if before == name {
				return nil
			}
		}
		b.keys = append(b.keys, name)
		return b.of.elem
	}
	field, known := b.of.fields[name]
	if !known || field.index > 63 || b.seen&(1<<field.index) != 0 {
		return nil
	}
	b.seen |= 1 << field.index
	return field.of
}

// fits reports whether the value on the line of an entry is surely of its schema.
func fits(e *entry, of *schema) bool {
	switch e.style {
	case styleNone:
		return of.kind != "" && !of.free
	case styleFlow:
		return fitsFlow(string(e.value), e.value, of)
	case styleOpaque:
		return of.kind == isString && len(of.values) == 0
	}
	return fitsScalar(e.style, e.value, of)
}

func fitsScalar(style valueStyle, value []byte, of *schema) bool {
	switch of.kind {
	case isString:
		if style == stylePlain && !surelyString(value) {
			return false
		}
		if len(of.values) == 0 {
			return true
		}
		for _, known := range of.values {
			if known == string(value) {
				return true
			}
		}
	case isBool:
		return style == stylePlain && (string(value) == "true" || string(value) == "false")
	case isNumber:
		return style == stylePlain && isCount(value)
	}
	return false
}

// isCount reports whether a text is a small decimal number.
func isCount(value []byte) bool {
	if len(value) == 0 || len(value) > 9 || value[0] == '0' && len(value) > 1 {
		return false
	}
	for _, c := range value {
		if c < '0' || c > '9' {
			return false
		}
	}
	return true
}

func fitsFlow(text string, value []byte, of *schema) bool {
	switch {
	case text == "{}":
		return of.kind == isMap
	case of.kind != isList:
		return false
	case text == "[]":
		return true
	}
	for rest := value[1:]; len(rest) > 0; rest = rest[1:] {
		style, item, after, ok := flowItem(rest)
		if !ok || len(after) == 0 || !fitsScalar(style, item, of.elem) {
			return false
		}
		if rest = after; rest[0] == ']' {
			return true
		}
	}
	return false
}
