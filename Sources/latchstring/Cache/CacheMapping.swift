import Edge
import HTTPCaching
import HTTPFields
import Settings

/// From what an edge's file says about caching to what the edge is told.
extension EdgeCacheConfiguration {
    init(_ settings: EdgeCacheSettings) {
        self.init(
            memoryBytes: settings.memory, disk: settings.disk.map { Disk(path: $0.path, size: $0.size) },
            maximumObjectBytes: settings.object)
    }
}

extension SiteCacheConfiguration {
    /// nil where the site stores nothing.
    init?(_ settings: SiteCacheSettings, edge: EdgeCacheSettings) {
        guard settings.enabled else { return nil }
        let defaults = CacheRule(settings, edge: edge)
        let paths: [CachePolicy.PathRule] = settings.rules.map { rule in
            CachePolicy.PathRule(
                pattern: GlobPattern(rule.path), bypass: rule.bypass ? true : nil,
                defaultLifetime: rule.defaultLifetime?.inMilliseconds, overrideLifetime: rule.lifetime?.inMilliseconds)
        }
        self.init(
            policy: CachePolicy(query: QueryRules(settings.query), defaults: defaults, paths: paths),
            share: Double(settings.share) / 100, reportsStatus: settings.status)
    }
}

extension QueryRules {
    init(_ settings: SiteCacheSettings.Query) {
        let parameters: Parameters =
            switch settings.parameters {
            case .all: .all
            case .except(let names): .except(names.map { GlobPattern($0) })
            case .only(let names): .only(names.map { GlobPattern($0) })
            }
        self.init(parameters: parameters, sorts: settings.sorts)
    }
}

extension CacheRule {
    /// Errors that a site's `errors` is about: what isn't there, and the server's own. Not 400, 403, 405 or 414: they are
    /// often about something in one request that is no part of the key, and would be served to everybody.
    private static let errorStatuses = [404, 410, 500, 501, 502, 503, 504]

    init(_ settings: SiteCacheSettings, edge: EdgeCacheSettings) {
        self.init()
        self.bypassCookies = settings.bypassCookies.map { GlobPattern($0) }
        self.bypassFields = settings.bypassFields.compactMap { FieldName($0) }
        self.unkeyedFields = UnkeyedFields(allowing: settings.unkeyedFields.compactMap { FieldName($0) })
        self.defaultLifetime = settings.defaultLifetime?.inMilliseconds
        if let lifetime = settings.errorLifetime?.inMilliseconds {
            self.negativeLifetimes = Dictionary(uniqueKeysWithValues: Self.errorStatuses.map { ($0, lifetime) })
        }
        self.staleWhileRevalidate = settings.staleWhileRevalidate?.inMilliseconds ?? 0
        self.staleIfError = settings.staleIfError.inMilliseconds
        self.setCookie = SetCookiePolicy(rawValue: settings.setCookie.rawValue) ?? .refuse
        self.cookieRequests = CookieRequestPolicy(rawValue: settings.cookieRequests.rawValue) ?? .explicit
        self.codings = settings.codings
        self.requestDirectives = RequestDirectives(rawValue: settings.requestDirectives.rawValue) ?? .honour
        self.maximumObjectBytes = Int64(min(settings.object ?? edge.object, edge.object))
        self.responseFields = FieldEdits(
            remove: (settings.removedFields + settings.addedFields.map(\.name)).compactMap { FieldName($0) },
            add: settings.addedFields.map { FieldEdits.Field(name: $0.name, value: $0.value) })
    }
}

extension Duration {
    var inMilliseconds: Int64 {
        self.components.seconds * 1000 + self.components.attoseconds / 1_000_000_000_000_000
    }
}
