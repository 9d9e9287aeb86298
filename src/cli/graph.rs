//! The graph: finding whom and what messages name, and what is known of it.

use std::{
    fs::File,
    io::{self, Write},
    path::{Path, PathBuf},
};

use clap::{Subcommand, ValueEnum};
use meshlog_connectors::api::{Fact, FoundNode, GraphEdge, GraphNodeView, GraphPath, GraphTie, Page, TimelineEntry};

use super::{
    Client, Context, EXIT_CODES, Failure, Outcome, Output,
    output::one_line,
    pages::{list, show_more},
    percent::encoded,
    table::Table,
};

/// The arguments of `meshlog graph`.
#[derive(Debug, clap::Args)]
#[command(after_help = format!("\
Examples:
  meshlog graph find ada
  meshlog graph show \"Ada Lovelace\" --space home
  meshlog graph facts --subject Ada --at 2024-05-01T00:00:00Z

{EXIT_CODES}"))]
pub(super) struct GraphArguments {
    #[command(subcommand)]
    command: GraphCommand,
}

#[derive(Debug, Subcommand)]
enum GraphCommand {
    /// Find nodes by the beginning of a word of their names
    #[command(after_help = format!("Example:\n  meshlog graph find ada --kind person\n\n{EXIT_CODES}"))]
    Find {
        /// The beginning of a name; without it, all nodes are listed
        name: Option<String>,
        /// Only nodes of this kind: person, organisation, place, product, topic, url or code-symbol
        #[arg(long, value_name = "KIND")]
        kind: Option<String>,
        #[command(flatten)]
        of: Of,
    },
    /// Show a node: what it is named with, and what is known of it; a fact or an insight with what it leads to
    #[command(after_help = format!("Example:\n  meshlog graph show \"Ada Lovelace\"\n\n{EXIT_CODES}"))]
    Show {
        /// Its name, or its id; the id of a fact or an insight
        node: String,
        /// What held at this time; without it, now
        #[arg(long, value_name = "TIME")]
        at: Option<String>,
        #[command(flatten)]
        of: Of,
    },
    /// List what a node is named with and bound to, the heaviest first
    #[command(after_help = format!("Example:\n  meshlog graph neighbours Ada --facts\n\n{EXIT_CODES}"))]
    Neighbours {
        /// Its name, or its id; the id of a fact or an insight
        node: String,
        /// Only of this kind: person, organisation, place, product, topic, url, code-symbol, fact or insight
        #[arg(long, value_name = "KIND")]
        kind: Option<String>,
        /// The facts that have it as an end: as --kind fact
        #[arg(long, conflicts_with = "kind")]
        facts: bool,
        #[command(flatten)]
        of: Of,
    },
    /// List what was said of a node, the newest first
    #[command(after_help = format!("Example:\n  meshlog graph timeline Ada --limit 50\n\n{EXIT_CODES}"))]
    Timeline {
        /// Its name, or its id
        node: String,
        #[command(flatten)]
        of: Of,
    },
    /// List facts, the newest first
    #[command(after_help = format!("Example:\n  meshlog graph facts --subject Ada --relation works-at --all\n\n{EXIT_CODES}"))]
    Facts {
        /// Only facts about this
        #[arg(long, value_name = "NAME")]
        subject: Option<String>,
        /// Only facts with this relation, such as works-at
        #[arg(long, value_name = "RELATION")]
        relation: Option<String>,
        /// Only facts with this object
        #[arg(long, value_name = "NAME")]
        object: Option<String>,
        /// What held at this time; without it, now
        #[arg(long, value_name = "TIME")]
        at: Option<String>,
        /// Also what does not hold: what is past, planned, corrected or doubtful
        #[arg(long)]
        all: bool,
        #[command(flatten)]
        of: Of,
    },
    /// Show the shortest way between two nodes, of which either may be a fact or an insight by its id
    #[command(after_help = format!("Example:\n  meshlog graph path Ada Siemens\n\n{EXIT_CODES}"))]
    Path {
        /// The name or id of the one
        from: String,
        /// The name or id of the other
        to: String,
        #[command(flatten)]
        of: Of,
    },
    /// Write all of a space's graph to a file, or to standard output
    #[command(after_help = format!("Example:\n  meshlog graph export --format graphml --out graph.graphml\n\n{EXIT_CODES}"))]
    Export {
        /// How it is written
        #[arg(long, value_enum, default_value_t, value_name = "FORMAT")]
        format: Format,
        /// The file; without it, standard output
        #[arg(long, value_name = "FILE")]
        out: Option<PathBuf>,
        /// Facts and insights as nodes, with edges to what they lead to
        #[arg(long)]
        facts: bool,
        #[command(flatten)]
        of: Of,
    },
}

/// Of which space, and how much.
#[derive(Debug, clap::Args)]
struct Of {
    /// The space
    #[arg(long, default_value = "main", value_name = "SPACE")]
    space: String,
    /// How many to show at most
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..), value_name = "NUMBER")]
    limit: u32,
}

/// How a graph is written.
#[derive(Debug, Clone, Copy, Default, ValueEnum)]
enum Format {
    /// One JSON object with items: nodes, edges, facts and insights
    #[default]
    Json,
    /// GraphML, for Gephi, yEd, NetworkX and others
    Graphml,
}

/// Asks the graph.
pub(super) fn run(context: &mut Context, arguments: GraphArguments) -> Result<Outcome, Failure> {
    let client = context.client()?;
    let output = &mut context.output;
    match arguments.command {
        GraphCommand::Find { name, kind, of } => {
            let mut query = vec![("space", of.space)];
            query.extend(name.map(|name| ("query", name)));
            query.extend(kind.map(|kind| ("kind", kind)));
            show_nodes(output, &list(&client, "/v1/graph/nodes", &query, of.limit as usize)?)?;
        }
        GraphCommand::Show { node, at, of } => {
            let id = id(&client, &of.space, &node)?;
            let mut query = vec![("space", of.space)];
            query.extend(at.map(|at| ("at", at)));
            show_node(output, &client.get(&format!("/v1/graph/nodes/{}", encoded(&id)), &query)?)?;
        }
        GraphCommand::Neighbours { node, kind, facts, of } => {
            let path = format!("/v1/graph/nodes/{}/edges", encoded(&id(&client, &of.space, &node)?));
            let mut query = vec![("space", of.space)];
            query.extend(kind.or(facts.then(|| "fact".to_owned())).map(|kind| ("kind", kind)));
            show_edges(output, &list(&client, &path, &query, of.limit as usize)?)?;
        }
        GraphCommand::Timeline { node, of } => {
            let path = format!("/v1/graph/nodes/{}/timeline", encoded(&id(&client, &of.space, &node)?));
            let query = [("space", of.space), ("order", "newest".to_owned())];
            show_timeline(output, &list(&client, &path, &query, of.limit as usize)?)?;
        }
        GraphCommand::Facts { subject, relation, object, at, all, of } => {
            let mut query = vec![("space", of.space), ("all", all.to_string())];
            let conditions = [("subject", subject), ("relation", relation), ("object", object), ("at", at)];
            query.extend(conditions.into_iter().filter_map(|(name, value)| Some((name, value?))));
            show_facts(output, &list(&client, "/v1/graph/facts", &query, of.limit as usize)?)?;
        }
        GraphCommand::Path { from, to, of } => {
            let (from, to) = (id(&client, &of.space, &from)?, id(&client, &of.space, &to)?);
            show_path(output, &client.get("/v1/graph/path", &[("space", of.space), ("from", from), ("to", to)])?)?;
        }
        GraphCommand::Export { format, out, facts, of } => export(&client, format, out.as_deref(), facts, of.space)?,
    }
    Ok(Outcome::Done)
}

/// The id of the node that is called so; the best one, if there are several.
fn id(client: &Client, space: &str, name: &str) -> Result<String, Failure> {
    // An id has this form, and no name does.
    if name.len() == 36 && name.bytes().filter(|byte| *byte == b'-').count() == 4 {
        return Ok(name.to_owned());
    }
    let query = [("space", space.to_owned()), ("query", name.to_owned()), ("limit", "1".to_owned())];
    let page: Page<FoundNode> = client.get("/v1/graph/nodes", &query)?;
    page.items.into_iter().next().map(|node| node.node_id).ok_or_else(|| {
        let what = format!("no message of the space \"{space}\" names \"{}\"", one_line(name));
        Failure::local(what, "meshlog graph find lists what is named")
    })
}

fn show_nodes(output: &mut Output, page: &Page<FoundNode>) -> Result<(), Failure> {
    if output.is_json() {
        return output.document(page);
    }
    if page.items.is_empty() {
        return output.line("nothing is named so");
    }
    let mut table = Table::new(["name", "kind", "mentions", "id"]);
    for node in &page.items {
        table.row([node.name.clone(), node.kind.clone(), node.mentions.to_string(), node.node_id.clone()]);
    }
    table.write(output)?;
    show_more(output, page)
}

fn show_node(output: &mut Output, view: &GraphNodeView) -> Result<(), Failure> {
    if output.is_json() {
        return output.document(view);
    }
    let GraphNodeView { node, edges, facts, ties, fact, insight } = view;
    if let Some(fact) = fact {
        show_fact(output, fact)?;
        return show_ties(output, ties);
    }
    if let Some(insight) = insight {
        output.line(one_line(&insight.text))?;
        let by = output.faint(&format!("    {} on {}, insight", one_line(&insight.author), insight.pinned_at));
        output.line(by)?;
        return show_ties(output, ties);
    }
    let name = output.bold(&one_line(&node.name));
    output.line(format!("{name} ({})  {} mentions", one_line(&node.kind), node.mentions))?;
    let others: Vec<_> =
        node.aliases.iter().filter(|alias| **alias != node.name).map(|alias| one_line(alias)).collect();
    if !others.is_empty() {
        output.line(format!("also called {}", others.join(", ")))?;
    }
    for fact in facts {
        show_fact(output, fact)?;
    }
    if edges.is_empty() { Ok(()) } else { edge_table(edges).write(output) }
}

fn show_ties(output: &mut Output, ties: &[GraphTie]) -> Result<(), Failure> {
    let mut table = Table::new(["leads by", "to", "name", "id"]);
    for tie in ties {
        let (name, id) = (tie.name.clone().unwrap_or_default(), tie.node_id.clone().unwrap_or_default());
        table.row([tie.relation.clone(), tie.node_type.clone(), name, id]);
    }
    if ties.is_empty() { Ok(()) } else { table.write(output) }
}

fn show_edges(output: &mut Output, page: &Page<GraphEdge>) -> Result<(), Failure> {
    if output.is_json() {
        return output.document(page);
    }
    if page.items.is_empty() {
        return output.line("nothing is bound to it");
    }
    edge_table(&page.items).write(output)?;
    show_more(output, page)
}

fn edge_table(edges: &[GraphEdge]) -> Table<4> {
    let mut table = Table::new(["with", "kind", "messages", "facts"]);
    edges.iter().for_each(|edge| table.row(row(edge)));
    table
}

fn row(edge: &GraphEdge) -> [String; 4] {
    let relations: Vec<_> = edge.relations.keys().cloned().collect();
    let kind = edge.node.kind.clone().unwrap_or_default();
    [edge.node.name.clone(), kind, edge.together.to_string(), relations.join(", ")]
}

fn show_facts(output: &mut Output, page: &Page<Fact>) -> Result<(), Failure> {
    if output.is_json() {
        return output.document(page);
    }
    if page.items.is_empty() {
        return output.line("no such fact is known");
    }
    page.items.iter().try_for_each(|fact| show_fact(output, fact))?;
    show_more(output, page)
}

/// A fact on a line, and below it who said so.
fn show_fact(output: &mut Output, fact: &Fact) -> Result<(), Failure> {
    output.line(format!("  {}", statement(fact)))?;
    let Some(source) = fact.sources.first() else { return Ok(()) };
    let place = source.message_id.as_deref().map(|id| format!(", message {id}")).unwrap_or_default();
    let said = format!("    {} on {}{place}, fact {}", one_line(&source.author), source.said_at, fact.fact_id);
    let said = output.faint(&said);
    output.line(said)
}

fn statement(fact: &Fact) -> String {
    let denied = if fact.polarity == "denied" { "not " } else { "" };
    let from = fact.valid_from.map(|from| format!(" from {from}")).unwrap_or_default();
    let until = fact.valid_until.map(|until| format!(" until {until}")).unwrap_or_default();
    let state = if fact.state == "current" { String::new() } else { format!(" ({})", one_line(&fact.state)) };
    let (subject, relation, object) = (&fact.subject.name, &fact.relation, &fact.object.name);
    format!("{} {denied}{} {}{from}{until}{state}", one_line(subject), one_line(relation), one_line(object))
}

fn show_timeline(output: &mut Output, page: &Page<TimelineEntry>) -> Result<(), Failure> {
    if output.is_json() {
        return output.document(page);
    }
    for entry in &page.items {
        let facts: Vec<_> = entry.facts.iter().map(statement).collect();
        let what = if facts.is_empty() { "named".to_owned() } else { facts.join("; ") };
        let author = output.bold(&one_line(&entry.author));
        let thread = entry.thread_id.as_deref().map(|thread| format!(" in {}", one_line(thread))).unwrap_or_default();
        output.line(format!("{}  {author}{thread}: {what}", entry.at))?;
    }
    show_more(output, page)
}

fn show_path(output: &mut Output, path: &GraphPath) -> Result<(), Failure> {
    if output.is_json() {
        return output.document(path);
    }
    let Some((first, rest)) = path.nodes.split_first() else {
        let why = if path.complete { "" } else { ", as far as was looked; there may be one" };
        return output.line(format!("no way leads from one to the other{why}"));
    };
    output.line(one_line(&first.name))?;
    rest.iter()
        .zip(&path.relations)
        .try_for_each(|(node, relation)| output.line(format!("  {} -> {}", one_line(relation), one_line(&node.name))))
}

fn export(client: &Client, format: Format, out: Option<&Path>, facts: bool, space: String) -> Result<(), Failure> {
    let name = match format {
        Format::Json => "json",
        Format::Graphml => "graphml",
    };
    let query = [("space", space), ("format", name.to_owned()), ("facts", facts.to_string())];
    let mut document = client.download("/v1/graph/export", &query)?;
    match out {
        None => copy(&mut document, &mut io::stdout().lock(), Path::new("standard output")),
        Some(path) => {
            let mut file = File::create(path).map_err(|error| Failure::file("write", path, &error))?;
            copy(&mut document, &mut file, path)?;
            file.sync_all().map_err(|error| Failure::file("write", path, &error))
        }
    }
}

fn copy(from: &mut impl io::Read, to: &mut impl Write, path: &Path) -> Result<(), Failure> {
    io::copy(from, to).map(drop).map_err(|error| Failure::file("write", path, &error))
}
