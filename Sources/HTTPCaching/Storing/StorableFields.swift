import NIOHTTP1

/// The fields of a response as they are stored (RFC 9111 §3.1).
enum StorableFields {
    /// - Parameters:
    ///   - fields: as the origin sent them, or as they went on to the client.
    ///   - directives: fields named by `no-cache` or `private` are withheld.
    ///   - withholdsCookies: `Set-Cookie` is withheld.
    /// - Returns: what is kept, and what only the client whose request this was may see.
    static func split(
        _ fields: HTTPHeaders, directives: ResponseDirectives, withholdsCookies: Bool
    ) -> (kept: HTTPHeaders, withheld: [(name: String, value: String)]) {
        let listed = Self.connectionOptions(fields)
        var kept: [(String, String)] = []
        kept.reserveCapacity(fields.count)
        var withheld: [(name: String, value: String)] = []
        for (name, value) in fields {
            if Self.isForOneHop(name) || FieldText.equal(name, "content-length") || FieldText.equal(name, "age") {
                continue
            }
            if !listed.isEmpty, listed.contains(where: { FieldText.sameName(name, $0) }) { continue }
            let isCookie = FieldText.equal(name, "set-cookie")
            if (isCookie && withholdsCookies)
                || directives.withheldFields.contains(where: { FieldText.sameName(name, $0) })
            {
                withheld.append((name, value))
            } else {
                kept.append((name, value))
            }
        }
        return (HTTPHeaders(kept), withheld)
    }

    /// What `Connection` lists.
    static func connectionOptions(_ fields: HTTPHeaders) -> [Substring] {
        var listed: [Substring] = []
        for (name, value) in fields where FieldText.equal(name, "connection") {
            FieldText.forEachElement(value) { if !$0.isEmpty { listed.append($0) } }
        }
        return listed
    }

    static func isForOneHop(_ name: String) -> Bool {
        switch name.utf8.count {
        case 2: FieldText.equal(name, "te")
        case 7: FieldText.equal(name, "trailer") || FieldText.equal(name, "upgrade")
        case 10: FieldText.equal(name, "connection") || FieldText.equal(name, "keep-alive")
        case 16: FieldText.equal(name, "proxy-connection")
        case 17: FieldText.equal(name, "transfer-encoding")
        case 18: FieldText.equal(name, "proxy-authenticate")
        case 19: FieldText.equal(name, "proxy-authorization")
        case 25: FieldText.equal(name, "proxy-authentication-info")
        default: false
        }
    }
}
