// The field of an image on the page at `/`.
// A file is sent as it is; what is drawn on top of it, as the image that the pad shows.
const PAD = 288;

encoded.base64 = (path, id, name, description) => {
  const file = make("input", { type: "file", accept: "image/png,image/jpeg", id });
  const pad = make("canvas", { role: "img", ariaLabel: "Drawing pad, for a mouse, pen or finger" });
  const clear = make("button", { type: "button" }, "Clear the pad");
  const pen = pad.getContext("2d", { willReadFrequently: true });
  let content, paper, last;
  const show = async (base64) => {
    const image = make("img", { src: `data:;base64,${await (content = base64)}` });
    await image.decode();
    const { naturalWidth: width, naturalHeight: height } = image;
    const scale = PAD / Math.max(width, height);
    Object.assign(pad, { width: width * scale, height: height * scale });
    pen.imageSmoothingEnabled = scale < 1;
    pen.drawImage(image, 0, 0, pad.width, pad.height);
    const corner = pen.getImageData(0, 0, 1, 1).data.slice(0, 3);
    paper = `rgb(${corner.join()})`;
    pen.strokeStyle = Math.max(...corner) > 127 ? "black" : "white";
    Object.assign(pen, { lineWidth: PAD / 5, lineCap: "round", lineJoin: "round" });
  };
  const take = ({ files }) => {
    if (!files.length) return;
    clearErrors();
    file.files = files;
    show(new Promise((done) => {
      const reader = new FileReader();
      reader.onload = () => done(reader.result.split(",")[1]);
      reader.readAsDataURL(files[0]);
    })).catch(() => {
      pen.clearRect(0, 0, pad.width, pad.height);
      fail(input, "The browser cannot show this file.");
    });
  };
  const drawn = () => {
    file.value = "";
    content = pad.toDataURL("image/png").split(",")[1];
  };
  pad.onpointerdown = (event) => {
    pad.setPointerCapture(event.pointerId);
    last = undefined;
    pad.onpointermove(event);
  };
  pad.onpointermove = (event) => {
    if (!pad.hasPointerCapture(event.pointerId)) return;
    const to = [event.offsetX, event.offsetY].map((one) => one * pad.width / pad.clientWidth);
    pen.beginPath();
    pen.moveTo(...(last ?? to));
    pen.lineTo(...(last = to));
    pen.stroke();
  };
  pad.onpointerup = drawn;
  clear.onclick = () => {
    pen.fillStyle = paper;
    pen.fillRect(0, 0, pad.width, pad.height);
    drawn();
  };
  file.onchange = () => take(file);
  document.onpaste = (event) => take(event.clipboardData);
  document.ondragover = (event) => event.preventDefault();
  document.ondrop = (event) => { event.preventDefault(); take(event.dataTransfer) };
  const write = (base64) => {
    file.value = "";
    return show(base64);
  };
  const input = { path, element: file, read: () => content, write };
  return described(input, name, `Choose, drop or paste ${description}, or draw.`, file, pad, clear);
};
