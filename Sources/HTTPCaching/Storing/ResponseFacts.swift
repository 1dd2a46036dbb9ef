import NIOHTTP1

/// What a response says about its own caching, read once.
struct ResponseFacts {
    /// From the targeted field if there is a valid one, else from `Cache-Control`.
    let directives: ResponseDirectives
    /// `directives` come from a targeted field: `Cache-Control` and `Expires` don't count.
    let isTargeted: Bool
    let expires: SingleValue
    let date: SingleValue
    let lastModified: SingleValue
    let setsCookies: Bool

    init(_ fields: HTTPHeaders, rule: CacheRule) {
        var lines: [String] = []
        var expires = SingleValue()
        var date = SingleValue()
        var modified = SingleValue()
        var setsCookies = false
        for (name, value) in fields {
            switch name.utf8.count {
            case 4 where FieldText.equal(name, "date"): date.add(value)
            case 7 where FieldText.equal(name, "expires"): expires.add(value)
            case 10 where FieldText.equal(name, "set-cookie"): setsCookies = true
            case 13 where FieldText.equal(name, "cache-control"): lines.append(value)
            case 13 where FieldText.equal(name, "last-modified"): modified.add(value)
            default: break
            }
        }
        let targeted = TargetedCacheControl.directives(rule.targetedFields, in: fields)
        self.isTargeted = targeted != nil
        self.directives = targeted ?? ResponseDirectives(lines: lines)
        self.expires = expires
        self.date = date
        self.lastModified = modified
        self.setsCookies = setsCookies
    }

    /// The origin says itself how long the response holds.
    var hasExplicitLifetime: Bool {
        self.directives.sharedMaxAge != nil || self.directives.maxAge != nil
            || (!self.isTargeted && self.expires.count > 0)
    }

    /// The origin means it for shared caches in so many words.
    var isMeantForSharing: Bool {
        self.directives.isPublic || self.directives.sharedMaxAge != nil || (self.isTargeted && self.hasExplicitLifetime)
    }
}
