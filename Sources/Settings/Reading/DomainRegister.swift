internal import TLSWire

/// Which site of a file took which domain.
struct DomainRegister {
    private var lines: [ServerNamePattern: Int] = [:]

    /// Reports a domain that another site, or the same one, has already.
    mutating func take(_ pattern: ServerNamePattern, at position: SourcePosition, report: DiagnosticCollector) {
        if let earlier = self.lines[pattern] {
            report.error(
                at: position, "the domain \"\(pattern)\" is taken already, in line \(earlier)",
                remedy: "A domain belongs to one site; keep it in one.")
        } else {
            self.lines[pattern] = position.line
        }
    }
}
