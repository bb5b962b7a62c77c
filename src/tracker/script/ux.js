// Draws what workflows answer. Nothing of it can run a script: only these elements and attributes are taken.

const ELEMENTS = /^(a|article|aside|b|br|button|div|em|figure|footer|h[1-6]|header|hr|i|img|li|nav|ol|p|section|small|span|strong|ul)$/i;
const ATTRIBUTES = /^(alt|class|dir|height|href|id|lang|rel|role|src|style|target|title|width|(aria|data)-.*)$/i;

const draw = ux =>
  (ux || []).forEach(
    safe(({ tag, props, content }) => {
      if (!ELEMENTS.test(tag)) return;
      const element = document.createElement(tag);
      for (const name in props) {
        const isLink = /^(href|src)$/i.test(name);
        if (ATTRIBUTES.test(name) && (!isLink || /^(http|mailto:|tel:)/.test(new URL(props[name], location))))
          element.setAttribute(name, props[name]);
      }
      element.append(content || '');
      document.body.append(element);
    })
  );
