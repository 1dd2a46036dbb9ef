import Telemetry

/// The page for people at the admin port: what the metrics, the health checks and the log's last problems say, without scripts.
struct StatusPage {
    static let path = "/"
    static let stylePath = "/status.css"
    /// More rows of a table are left out.
    private static let maximumRows = 1000
    /// Outcomes of the cache for which the origin sent no content.
    private static let hits: Set<String> = ["hit", "stale", "stale-if-error", "revalidated", "collapsed"]

    let figures: StatusFigures
    let health: HealthReport
    let problems: [RecentProblems.Line]
    /// Unix time.
    let now: Double

    var html: String {
        var page = HTMLText()
        let build = self.figures.all("latchstring_build_info").first?.labels ?? [:]
        page.markup(
            """
            <!doctype html>
            <html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">
            <meta http-equiv="refresh" content="15"><link rel="stylesheet" href="/status.css"><title>Latchstring
            """)
        page.text(" " + (build["role"] ?? ""))
        page.markup("</title></head><body><header><h1>Latchstring ")
        page.text(build["role"] ?? "")
        page.markup("</h1><p>")
        page.text(build["version"] ?? "")
        if let start = self.figures.sum("process_start_time_seconds") {
            page.text(", up \(StatusFigures.age(self.now - start))")
        }
        page.markup("</p><p id=\"ready\" class=\"")
        self.health.isReady ? page.markup("good\">ready") : page.markup("bad\">not ready")
        page.markup("</p></header><main>\n")
        self.checks(&page)
        self.edge(&page)
        self.keyHolder(&page)
        self.process(&page)
        page.table(
            "Last warnings and errors", ["Time", "Level", "What", "Details"],
            self.problems.map { line -> HTMLText.Row in
                ([line.time, line.level, line.message, line.details], line.level != "warning")
            })
        page.markup("</main></body></html>\n")
        return page.html
    }

    private func checks(_ page: inout HTMLText) {
        page.table(
            "Health", ["Check", "State"],
            self.health.outcomes.map { name, outcome -> HTMLText.Row in
                switch outcome {
                case .ok: ([name, "ok"], false)
                case .degraded(let reason): ([name, "degraded: \(reason)"], true)
                case .failed(let reason): ([name, "failed: \(reason)"], true)
                }
            })
    }

    // MARK: An edge

    private func edge(_ page: inout HTMLText) {
        let figures = self.figures
        let sites = figures.values(of: "site", in: "latchstring_edge_requests_total").prefix(Self.maximumRows)
        page.table(
            "Sites",
            [
                "Site", "Requests", "5xx", "Mean time", "Hit ratio", "Origin's mean time", "Origin connections",
                "Failures",
            ],
            sites.map { site -> HTMLText.Row in
                let label = ["site": site]
                let failures = figures.sum("latchstring_edge_origin_failures_total", label)
                return (
                    [
                        site, StatusFigures.count(figures.sum("latchstring_edge_requests_total", label)),
                        StatusFigures.count(
                            figures.sum("latchstring_edge_requests_total", ["site": site, "status": "5xx"])),
                        figures.mean("latchstring_edge_request_seconds", label),
                        StatusFigures.percent(
                            figures.sum("latchstring_cache_requests_total", label) {
                                Self.hits.contains($0.labels["outcome"] ?? "")
                            }, of: figures.sum("latchstring_cache_requests_total", label)),
                        figures.mean("latchstring_edge_origin_seconds", label),
                        StatusFigures.count(figures.sum("latchstring_edge_origin_connections", label)),
                        StatusFigures.count(failures),
                    ], false
                )
            })
        let domains = figures.values(
            of: "domain", in: "latchstring_edge_lease", "latchstring_edge_certificate_not_after_seconds")
        page.table(
            "Domains and their certificates", ["Domain", "Lease", "Certificate expires in"],
            domains.prefix(Self.maximumRows).map { domain -> HTMLText.Row in
                let isLeased = figures.sum("latchstring_edge_lease", ["domain": domain]) == 1
                let left = figures.sum("latchstring_edge_certificate_not_after_seconds", ["domain": domain]).map {
                    StatusFigures.left(until: $0, now: self.now)
                }
                return ([domain, isLeased ? "yes" : "none", left?.text ?? "-"], !isLeased || left?.isBad == true)
            })
        page.table(
            "Key holders", ["Key holder", "Links up", "Answered", "Failed", "Mean time"],
            figures.values(of: "keyholder", in: "latchstring_key_links_ready", "latchstring_key_requests_total").map {
                holder -> HTMLText.Row in
                let label = ["keyholder": holder]
                let links = figures.sum("latchstring_key_links_ready", label) ?? 0
                return (
                    [
                        holder, StatusFigures.count(links),
                        StatusFigures.count(
                            figures.sum("latchstring_key_requests_total", ["keyholder": holder, "outcome": "answered"])),
                        StatusFigures.count(
                            figures.sum("latchstring_key_requests_total", ["keyholder": holder, "outcome": "failed"])),
                        figures.mean("latchstring_key_request_seconds", label),
                    ], links == 0
                )
            })
        page.table(
            "Addresses of key holders", ["Address", "Key holder", "Links that answer", "Time to an answer"],
            figures.all("latchstring_key_address_ready").prefix(Self.maximumRows).map { sample -> HTMLText.Row in
                let address = sample.labels["address"] ?? "-"
                let labels = ["address": address, "keyholder": sample.labels["keyholder"] ?? "-"]
                let latency = figures.sum("latchstring_key_address_latency_seconds", labels)
                return (
                    [
                        address, labels["keyholder"] ?? "-", StatusFigures.count(sample.value),
                        latency.map { StatusFigures.milliseconds($0) } ?? "-",
                    ], sample.value == 0
                )
            })
    }

    // MARK: A key holder

    private func keyHolder(_ page: inout HTMLText) {
        let figures = self.figures
        page.table(
            "Operations", ["Operation", "Done", "Refused or failed", "Mean time"],
            figures.values(of: "operation", in: "latchstring_keyholder_operations_total").map {
                operation -> HTMLText.Row in
                let label = ["operation": operation]
                return (
                    [
                        operation,
                        StatusFigures.count(
                            figures.sum(
                                "latchstring_keyholder_operations_total", ["operation": operation, "outcome": "ok"])),
                        StatusFigures.count(
                            figures.sum("latchstring_keyholder_operations_total", label) {
                                $0.labels["outcome"] != "ok"
                            }), figures.mean("latchstring_keyholder_operation_seconds", label),
                    ], false
                )
            })
        page.table(
            "Certificates", ["Site", "Expires in"],
            figures.all("latchstring_keyholder_certificate_not_after_seconds").prefix(Self.maximumRows).map {
                sample -> HTMLText.Row in
                let left = StatusFigures.left(until: sample.value, now: self.now)
                return ([sample.labels["site"] ?? "", left.text], left.isBad)
            })
    }

    // MARK: Both

    private func process(_ page: inout HTMLText) {
        let figures = self.figures
        var rows: [HTMLText.Row] = []
        func add(_ name: String, _ value: String?, isBad: Bool = false) {
            if let value { rows.append(([name, value], isBad)) }
        }
        add("Clients connected", figures.sum("latchstring_edge_connections").map { StatusFigures.count($0) })
        add("Edges connected", figures.sum("latchstring_keyholder_connections").map { StatusFigures.count($0) })
        add(
            "Links to dialled edges", figures.sum("latchstring_keyholder_dialled_links").map { StatusFigures.count($0) }
        )
        if let down = figures.sum("latchstring_keyholder_dialled_down") {
            add("Dialled edges without a link", StatusFigures.count(down), isBad: down > 0)
        }
        for name in ["edge", "keyholder"] {
            guard let time = figures.sum("latchstring_\(name)_identity_not_after_seconds") else { continue }
            let left = StatusFigures.left(until: time, now: self.now, warningDays: 30)
            add("Own identity expires in", left.text, isBad: left.isBad)
        }
        for place in figures.values(of: "place", in: "latchstring_cache_store_bytes") {
            add("Store, \(place)", StatusFigures.bytes(figures.sum("latchstring_cache_store_bytes", ["place": place])))
        }
        add("Memory", figures.sum("process_resident_memory_bytes").map { StatusFigures.bytes($0) })
        add("Processor time", figures.sum("process_cpu_seconds_total").map { StatusFigures.age($0) })
        if let open = figures.sum("process_open_fds"), let most = figures.sum("process_max_fds") {
            add(
                "File descriptors", "\(StatusFigures.count(open)) of \(StatusFigures.count(most))",
                isBad: open > 0.8 * most)
        }
        page.table("Process", ["What", "Value"], rows)
    }

    static let style = """
        :root { color-scheme: light dark; font: 15px/1.45 system-ui, sans-serif; }
        body { margin: 0 auto; max-width: 72rem; padding: 1rem; }
        header { display: flex; flex-wrap: wrap; gap: 0 1rem; align-items: baseline; border-bottom: 2px solid #8886; }
        h1 { font-size: 1.4rem; margin: 0; } h2 { font-size: 1.05rem; margin: 1.6rem 0 .4rem; }
        header p { margin: 0; } #ready { font-weight: 600; } .good { color: #18794e; } .bad { color: #c62a2f; }
        section { overflow-x: auto; } table { border-collapse: collapse; width: 100%; }
        th, td { text-align: left; padding: .25rem .8rem .25rem 0; border-bottom: 1px solid #8884; vertical-align: top; }
        th { font-weight: 600; white-space: nowrap; } td { font-variant-numeric: tabular-nums; overflow-wrap: break-word; }
        tr.bad td { color: #c62a2f; }
        @media (prefers-color-scheme: dark) { .good { color: #4cc38a; } .bad, tr.bad td { color: #ff8589; } }

        """
}
