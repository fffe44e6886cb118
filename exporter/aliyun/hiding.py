"""What of a row must not be kept as it is: whose streams are mixed, addresses of images, payloads."""

from exporter.aliyun.documented import Row, SeiParams, TranscodeParams
from exporter.aliyun.fields import FieldReader


def hide_texts(reader: FieldReader, row: Row) -> None:
    """Replace each text of which only a digest is kept by True, so that what is left holds nobody's own."""
    single = row.single_sub_params
    if single:
        single.user_id = reader.hide("users", single.user_id, "SingleSubParams.UserId")
    _hide_payload(reader, row.sei_params)
    if row.transcode_params:
        _hide_transcode(reader, row.transcode_params)


def _hide_transcode(reader: FieldReader, transcode: TranscodeParams) -> None:
    """Hide whose streams are mixed, and which images are shown."""
    background = transcode.background
    if background:
        background.url = reader.hide("background", background.url, "Background.URL")
    panes = transcode.layout.user_panes if transcode.layout else None
    for index, pane in enumerate(panes or ()):
        image = reader.hide("background", pane.background_image_url, "UserPanes.BackgroundImageUrl", index)
        pane.background_image_url = image
        user = pane.user_info
        if user:
            user.channel_id = reader.hide("users", user.channel_id, "UserInfo.ChannelId", index)
            user.user_id = reader.hide("users", user.user_id, "UserInfo.UserId", index)
    for index, info in enumerate(transcode.user_infos or ()):
        info.channel_id = reader.hide("users", info.channel_id, "UserInfos.ChannelId", index)
        info.user_id = reader.hide("users", info.user_id, "UserInfos.UserId", index)
    _hide_payload(reader, transcode.sei_params)


def _hide_payload(reader: FieldReader, sei: SeiParams | None) -> None:
    """Hide what is written into the stream."""
    through = sei.pass_through if sei else None
    if through:
        through.payload_content = reader.hide("sei", through.payload_content, "PassThrough.PayloadContent")
        key = reader.hide("sei", through.payload_content_key, "PassThrough.PayloadContentKey")
        through.payload_content_key = key
