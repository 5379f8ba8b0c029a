package conf

// tables are those of ngx_http_server_names: exact names, *.suffix, prefix.*. A name
// that is in a table already is ignored.
type tables struct {
	exact, leading, trailing map[string]claim
	taken                    map[string]bool // exact names, the one in .example.org included
}

// claim is a name in a table, with the first server block that has it.
type claim struct {
	server *Server
	name   *Name
}

func (s *Socket) makeTables() {
	t := &tables{map[string]claim{}, map[string]claim{}, map[string]claim{}, map[string]bool{}}
	for _, server := range s.Servers {
		for i := range server.Names {
			t.add(claim{server, &server.Names[i]})
		}
	}
	s.tables = t
}

func (t *tables) add(c claim) {
	key, table := c.name.key, t.leading
	switch c.name.Kind {
	case RegexName:
		return
	case ExactName:
		table = t.exact
	case TrailingName:
		table = t.trailing
	}
	if c.name.Kind == ExactName || c.name.Kind == DottedName {
		if t.taken[key] {
			return
		}
		t.taken[key] = true
	}
	if _, ok := table[key]; !ok {
		table[key] = c
	}
}

// byTable looks a host up: an exact name, the longest suffix, the longest prefix.
func (s *Socket) byTable(host string) (*Server, *Name) {
	s.once.Do(s.makeTables)
	t := s.tables
	if c, ok := t.exact[host]; ok {
		return c.server, c.name
	}
	if c, ok := t.leading[host]; ok && c.name.Kind == DottedName {
		return c.server, c.name
	}
	for i := 0; i < len(host); i++ {
		if c, ok := t.leading[host[i+1:]]; ok && host[i] == '.' {
			return c.server, c.name
		}
	}
	for i := len(host) - 1; i >= 0; i-- {
		if c, ok := t.trailing[host[:i]]; ok && host[i] == '.' {
			return c.server, c.name
		}
	}
	return nil, nil
}
