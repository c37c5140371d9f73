fn main() -> Result<(), tidewheel::Error> {
    let event_loop = tidewheel::EventLoop::new()?;
    let server = tidewheel::net::create_server(&event_loop, |s| {
        s.pipe(s);
    });
    server.listen(
        (
            "127.0.0.1",
            std::env::args()
                .nth(1)
                .unwrap_or("8124".into())
                .parse()
                .unwrap(),
        ),
        |s| println!("listening on {}", s.address().unwrap()),
    )?;
    event_loop.run()
}
