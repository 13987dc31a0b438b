"""For tests of what uses Roombell: payloads, scripted endpoints, virtual time, and the store contract."""
