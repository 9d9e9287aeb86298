use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};

use candle_core::quantized::gguf_file;
use serde_json::json;

use super::super::testing::{CONTEXT, FAMILIES, Tiny};
use super::*;

fn never() -> bool {
    false
}

fn greedy(max_tokens: usize) -> Sampling {
    Sampling { temperature: 0.0, max_tokens: Some(max_tokens), ..Sampling::default() }
}

fn ask(model: &ChatModel, question: &str) -> Prompt {
    model.prompt(&[json!({"role": "user", "content": question})], None).expect("it fits")
}

fn answer(model: &ChatModel, prompt: &Prompt, settings: &Sampling) -> (String, Outcome) {
    let mut text = String::new();
    let outcome = model.generate(prompt, settings, &never, &mut |part| {
        assert!(!part.is_empty());
        text.push_str(part);
        ControlFlow::Continue(())
    });
    (text, outcome.expect("it computes"))
}

/// A model without tokens that end an answer, so that its length is known.
fn endless(family: &'static str) -> ChatModel {
    let mut model = Tiny::new(family).open();
    model.vocabulary.forget_ends();
    model
}

#[test]
fn a_model_says_what_it_is() {
    for family in FAMILIES {
        let model = Tiny::new(family).open();
        assert_eq!((model.id(), model.architecture(), model.context_tokens()), ("model", family, CONTEXT));
        assert_eq!(model.count_tokens("hello hello").expect("it splits"), 2);
        assert_eq!(model.count_tokens("").expect("it splits"), 0);
        assert_eq!(model.with_context_tokens(50).context_tokens(), 50);
    }
}

#[test]
fn an_answer_ends_at_its_length_or_with_the_context() {
    for family in FAMILIES {
        let model = endless(family);
        let prompt = ask(&model, "hello");
        let (_, outcome) = answer(&model, &prompt, &greedy(7));
        assert_eq!(outcome, Outcome { finish: Finish::Length, prompt_tokens: prompt.tokens().len(), output_tokens: 7 });
        let (text, outcome) = answer(&model, &prompt, &greedy(0));
        assert_eq!((text.as_str(), outcome.finish, outcome.output_tokens), ("", Finish::Length, 0));
        let (_, outcome) = answer(&model, &prompt, &Sampling { max_tokens: None, ..greedy(0) });
        assert_eq!((outcome.finish, outcome.prompt_tokens + outcome.output_tokens), (Finish::Length, CONTEXT));
    }
}

#[test]
fn a_token_that_ends_an_answer_stops_it() {
    let mut model = endless("llama");
    let prompt = ask(&model, "hello");
    let settings = greedy(30);
    let (whole, _) = answer(&model, &prompt, &settings);
    let mut sampler = Sampler::new(&settings);
    let state =
        model.threads.install(|| model.decoder.read_tokens(&mut model.decoder.cache(), prompt.tokens(), &never));
    let state = state.expect("it computes").expect("nobody cancels");
    let first = sampler.choose(&model.threads.install(|| model.decoder.scores(&state))).expect("they are numbers");
    model.vocabulary.end_with(first);
    let (text, outcome) = answer(&model, &prompt, &settings);
    assert_eq!((text.as_str(), outcome.finish, outcome.output_tokens), ("", Finish::Stop, 1));
    assert!(!whole.is_empty());
}

#[test]
fn two_answers_at_once_are_as_two_in_turn() {
    let seeded = Sampling { seed: Some(5), max_tokens: Some(40), ..Sampling::default() };
    for (family, settings) in FAMILIES.into_iter().flat_map(|family| [(family, greedy(40)), (family, seeded.clone())]) {
        let model = endless(family);
        let prompts = [ask(&model, "hello world"), ask(&model, "who is there?")];
        let in_turn = prompts.each_ref().map(|prompt| answer(&model, prompt, &settings));
        let (model, prompts, settings) = (&model, &prompts, &settings);
        let at_once = std::thread::scope(|scope| {
            let answers = (0..6)
                .map(|index| scope.spawn(move || answer(model, &prompts[index % 2], settings)))
                .collect::<Vec<_>>();
            answers.into_iter().map(|handle| handle.join().expect("no panic")).collect::<Vec<_>>()
        });
        for (index, answer) in at_once.iter().enumerate() {
            assert_eq!(*answer, in_turn[index % 2], "{family}");
        }
    }
}

#[test]
fn a_seed_repeats_an_answer_and_another_does_not() {
    let model = endless("qwen2");
    let prompt = ask(&model, "hello");
    let seeded = |seed| Sampling { seed: Some(seed), top_p: 0.95, max_tokens: Some(40), ..Sampling::default() };
    assert_eq!(answer(&model, &prompt, &seeded(1)), answer(&model, &prompt, &seeded(1)));
    assert_ne!(answer(&model, &prompt, &seeded(1)).0, answer(&model, &prompt, &seeded(2)).0);
}

#[test]
fn stop_strings_are_found_across_tokens_and_never_shown() {
    for family in ["llama", "qwen3"] {
        let model = endless(family);
        let prompt = ask(&model, "hello");
        let settings = Sampling { seed: Some(3), max_tokens: Some(60), ..Sampling::default() };
        let (whole, _) = answer(&model, &prompt, &settings);
        let characters: Vec<usize> = whole.char_indices().map(|(place, _)| place).collect();
        assert!(characters.len() > 20, "{whole:?}");
        for (from, length) in [(0, 1), (4, 6), (9, 3), (15, 5)] {
            let stop = whole[characters[from]..characters[from + length]].to_owned();
            let expected = whole.split(&stop).next().expect("there is a first part").to_owned();
            let settings = Sampling { stop: vec![String::new(), stop.clone()], ..settings.clone() };
            let (text, outcome) = answer(&model, &prompt, &settings);
            assert_eq!((text, outcome.finish), (expected, Finish::Stop), "{family}, stop {stop:?}");
        }
    }
}

#[test]
fn who_takes_the_text_can_end_it_at_once() {
    let model = endless("qwen2");
    let prompt = ask(&model, "hello");
    let mut parts = 0;
    let outcome = model.generate(&prompt, &greedy(60), &never, &mut |_| {
        parts += 1;
        if parts == 3 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    });
    assert_eq!(outcome.expect("it computes").finish, Finish::Cancelled);
    assert_eq!(parts, 3);
}

#[test]
fn a_cancel_ends_prefill_and_answer_within_a_layer() {
    let model = endless("llama");
    let prompt = ask(&model, &"hello world ".repeat(20));
    for questions in [0, 1, 5, 20] {
        let asked = AtomicUsize::new(0);
        let is_cancelled = || asked.fetch_add(1, Ordering::Relaxed) >= questions;
        let mut shown = 0;
        let outcome = model.generate(&prompt, &greedy(60), &is_cancelled, &mut |_| {
            shown += 1;
            ControlFlow::Continue(())
        });
        assert_eq!(outcome.expect("it computes").finish, Finish::Cancelled);
        assert_eq!(asked.load(Ordering::Relaxed), questions + 1, "it went on after {shown} parts");
    }
}

#[test]
fn a_prompt_may_not_fill_the_context() {
    let model = Tiny::new("gemma3").open();
    let long = "hello ".repeat(CONTEXT);
    let error = model.prompt(&[json!({"role": "user", "content": long})], None).expect_err("it is too long");
    let ChatError::TooLong { prompt, context } = error else { panic!("{error}") };
    assert!(prompt > CONTEXT && context == CONTEXT, "{prompt} {context}");
    let short = ask(&model, "hello").tokens().len();
    let model = model.with_context_tokens(short);
    let error = model.prompt(&[json!({"role": "user", "content": "hello"})], None).expect_err("there is no room left");
    assert!(matches!(error, ChatError::TooLong { prompt, context } if prompt == context), "{error}");
}

#[test]
fn the_template_of_a_file_writes_the_prompt_and_its_marks_are_single_tokens() {
    let mut tiny = Tiny::new("qwen2");
    let template = "{% if not messages %}{{ raise_exception('no messages') }}{% endif %}{% for message in messages %}\
                    <|im_start|>{{ message.role }}\n{{ message.content }}<|im_end|>\n{% endfor %}\
                    {% if tools %}{{ tools | tojson }}{% endif %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}";
    tiny.set("tokenizer.chat_template", gguf_file::Value::String(template.to_owned()));
    let model = tiny.open();
    let written = |messages: &[Value], tools| {
        let prompt = model.prompt(messages, tools).expect("it fits");
        let marks = prompt.tokens().iter().filter(|token| (1..=2).contains(*token)).count();
        let bytes: Vec<u8> = prompt.tokens().iter().flat_map(|token| model.vocabulary.bytes(*token)).copied().collect();
        (String::from_utf8(bytes).expect("it is text"), marks)
    };
    let question = [json!({"role": "user", "content": "hello world"})];
    assert_eq!(written(&question, None), ("user\nhello world\nassistant\n".to_owned(), 3));
    let tools = json!([{"type": "function"}]);
    let expected = "user\nhello world\n[{\"type\": \"function\"}]assistant\n";
    assert_eq!(written(&question, Some(&tools)), (expected.to_owned(), 3));
    let error = model.prompt(&[], None).expect_err("the template refuses");
    assert!(matches!(&error, ChatError::Refused { words } if words == "no messages"), "{error}");
}

#[test]
fn a_prompt_of_another_model_is_an_error() {
    let model = Tiny::new("llama").open();
    let prompt = Prompt { tokens: vec![5, 999_999] };
    let error = model.generate(&prompt, &greedy(5), &never, &mut |_| ControlFlow::Continue(()));
    let error = error.expect_err("there is no such token");
    assert!(error.to_string().contains("no token 999999"), "{error}");
}

#[test]
fn weights_that_are_no_numbers_are_an_error() {
    let mut tiny = Tiny::new("llama");
    tiny.poison("blk.1.attn_norm.weight");
    let model = tiny.open();
    let answer = model.generate(&ask(&model, "hello"), &greedy(5), &never, &mut |_| ControlFlow::Continue(()));
    let error = answer.expect_err("nothing can be chosen");
    assert!(error.to_string().contains("what is no number"), "{error}");
}

/// Opens a file and, if that goes, lets it answer: whatever comes, no panic.
fn try_out(path: &Path) -> Result<(), ChatError> {
    let model = ChatModel::open(path)?;
    let prompt = model.prompt(&[json!({"role": "user", "content": "hello"})], None)?;
    model.generate(&prompt, &greedy(2), &never, &mut |_| ControlFlow::Continue(())).map(|_| ())
}

#[test]
fn files_cut_short_are_errors_that_name_them() {
    for family in ["gemma3", "qwen3"] {
        let (_folder, path) = Tiny::new(family).written();
        let content = std::fs::read(&path).expect("just written");
        // The writer pads the last tensor, and a reader does not need the padding.
        let lengths = (0..64).chain((64..content.len() - 32).step_by(content.len() / 150));
        for length in lengths {
            std::fs::write(&path, &content[..length]).expect("the folder is ours");
            let error = try_out(&path).expect_err("something is missing");
            assert!(matches!(error, ChatError::Corrupt { .. }), "{length} bytes: {error}");
            assert!(error.to_string().contains("model.gguf"), "{length} bytes: {error}");
        }
    }
}

#[test]
fn damaged_files_never_panic() {
    for family in ["llama", "qwen2"] {
        let (_folder, path) = Tiny::new(family).written();
        let content = std::fs::read(&path).expect("just written");
        // All of the sizes and names stand in the first and the last part of the header; tokens lie between.
        let header = content.windows(4).rposition(|bytes| bytes == b"blk.").expect("it has layers");
        let places = (0..1200).chain((1200..header - 3000).step_by(41)).chain((header - 3000..header + 80).step_by(3));
        for (round, place) in places.enumerate() {
            let mut damaged = content.clone();
            damaged[place] = [0, 0xff, content[place] ^ 1, content[place] ^ 0x80][round % 4];
            std::fs::write(&path, &damaged).expect("the folder is ours");
            if let Err(error) = try_out(&path) {
                assert!(error.to_string().len() < 2000, "{error}");
            }
        }
    }
}

#[test]
fn sizes_that_cannot_be_cost_no_memory() {
    let check = |name: &str, bytes: &[u8], expected: &str| {
        let folder = tempfile::tempdir().expect("a temporary directory can be made");
        let path = folder.path().join(name);
        std::fs::write(&path, bytes).expect("the folder is ours");
        let error = ChatModel::open(&path).expect_err(expected).to_string();
        assert!(error.contains(expected) && error.contains(name), "{error}");
    };
    let header = |version: u32, tensors: u64, entries: u64, rest: &[u8]| {
        let mut bytes = b"GGUF".to_vec();
        bytes.extend(version.to_le_bytes());
        bytes.extend(tensors.to_le_bytes());
        bytes.extend(entries.to_le_bytes());
        bytes.extend(rest);
        bytes
    };
    let entry = |kind: u32, value: &[u8]| [&1_u64.to_le_bytes()[..], b"k", &kind.to_le_bytes(), value].concat();
    let array = |kind: u32, items: u64| [&kind.to_le_bytes()[..], &items.to_le_bytes()].concat();
    check("empty.gguf", b"", "it ends at byte 0");
    check("text.gguf", b"hello, this is no model", "not with \"GGUF\"");
    check("big.gguf", b"FUGG\x03\0\0\0", "big-endian");
    check("old.gguf", &header(1, 0, 0, b""), "version 1");
    check("tensors.gguf", &header(3, u64::MAX, 0, b""), "it states 18446744073709551615 tensors");
    check("entries.gguf", &header(3, 0, 1 << 40, b""), "metadata entries");
    check("key.gguf", &header(3, 0, 1, &[0xff; 8]), "bytes of a string");
    check("kind.gguf", &header(3, 0, 1, &entry(77, &[])), "type 77");
    check("items.gguf", &header(3, 0, 1, &entry(9, &array(4, 1 << 60))), "items of an array");
    let deep: Vec<u8> = std::iter::repeat_with(|| array(9, 1)).take(50).flatten().collect();
    check("deep.gguf", &header(3, 0, 1, &entry(9, &deep)), "deep in each other");
    let tensor = |sizes: &[u64], kind: u32| {
        let mut bytes = [&1_u64.to_le_bytes()[..], b"t", &(sizes.len() as u32).to_le_bytes()].concat();
        bytes.extend(sizes.iter().flat_map(|size| size.to_le_bytes()));
        bytes.extend(kind.to_le_bytes());
        bytes.extend(0_u64.to_le_bytes());
        bytes
    };
    check("huge.gguf", &header(3, 1, 0, &tensor(&[1 << 40, 1 << 40], 0)), "tensor t is larger than the file");
    check("flat.gguf", &header(3, 1, 0, &tensor(&[0, 4], 0)), "tensor t is larger than the file");
    check("type.gguf", &header(3, 1, 0, &tensor(&[4], 99)), "elements of type 99");
}

#[test]
fn an_alignment_of_nothing_is_an_error() {
    for alignment in [0, 7] {
        let mut tiny = Tiny::new("llama");
        tiny.set("general.alignment", gguf_file::Value::U32(alignment));
        let (_folder, path) = tiny.written();
        let error = ChatModel::open(&path).expect_err("it is no power of two").to_string();
        assert!(error.contains("general.alignment"), "{error}");
    }
}

#[test]
fn a_missing_file_is_named() {
    let error = ChatModel::open(Path::new("/nowhere/model.gguf")).expect_err("there is none");
    assert!(matches!(error, ChatError::Missing { .. }), "{error}");
    assert!(
        error.to_string().contains("/nowhere/model.gguf") && error.to_string().contains("make model-chat"),
        "{error}"
    );
}

/// The real model, unless it has not been fetched.
fn gemma() -> Option<ChatModel> {
    let path = std::env::var_os("MESHLOG_CHAT_MODEL").map(PathBuf::from).filter(|path| path.exists());
    let fetched = Path::new(env!("CARGO_MANIFEST_DIR")).join("../models/gemma3-270m.gguf");
    let Some(path) = path.or_else(|| fetched.exists().then_some(fetched)) else {
        println!("NOTE: no chat model here, the test with a real one is left out; `make model-chat` fetches it");
        return None;
    };
    Some(ChatModel::open(&path).unwrap_or_else(|error| panic!("{error}")))
}

#[test]
fn gemma_knows_the_capital_of_france() {
    let Some(model) = gemma() else {
        return;
    };
    assert_eq!(model.architecture(), "gemma3");
    let (text, outcome) = answer(&model, &ask(&model, "What is the capital of France?"), &greedy(64));
    assert!(text.contains("Paris"), "{text:?}");
    assert_eq!(outcome.finish, Finish::Stop, "{text:?}");

    // The numbers are those of Google's tokenizer: a long run of spaces, letters of many bytes and a line break.
    let tokens = model.vocabulary.encode("The quick  brown fox\n\njumps 🐟").expect("it splits");
    assert_eq!(tokens, [818, 3823, 138, 33250, 37423, 108, 236804, 12909, 236743, 246955]);
}
